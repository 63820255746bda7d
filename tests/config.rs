//! Settings: which source wins, and that every mistake is told where it is and how to mend it.

use std::ffi::OsString;
use std::path::Path;

use ai_friend::config::{self, AmbiguousSend, Config, ConfigError, LogFormat, Secret, Sources};
use friend_actors::types::Label;

/// Settings from a file's text and some variables.
fn load(file: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_bytes(file.as_bytes(), env)
}

fn load_bytes(file: &[u8], env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ai-friend.toml");
    std::fs::write(&path, file).expect("a file in it");
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    config::load(&Sources { file: Some(path), env, flags: Vec::new() }).map(|loaded| loaded.config)
}

/// The error's text, without the folder's name.
fn complaint(file: &str, env: &[(&str, &str)]) -> String {
    let text = load(file, env).expect_err("this should be refused").to_string();
    text.lines()
        .map(|line| line.split_once("/ai-friend.toml").map_or(line, |(_, rest)| rest))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ai-friend.toml");
    std::fs::write(&path, "[model]\nname = \"file\"\nslots = 3\nthreads = 1\n").unwrap();
    let env = vec![("MODEL".into(), "env".into()), ("AI_FRIEND_MODEL_SLOTS".into(), "4".into())];
    let flags = vec![("--model", "model", "name", "flag".to_owned())];
    let config = config::load(&Sources { file: Some(path), env, flags }).unwrap().config;
    assert_eq!((config.model.name.as_str(), config.model.slots, config.model.threads), ("flag", 4, 1));
}

#[test]
fn nothing_given_gives_the_documented_defaults() {
    let config = load("", &[("TG_BOT_TOKEN", ""), ("MODEL", "")]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.model.name, "smollm2-135m-instruct");
    assert_eq!(config.store.data, Path::new("./data"));
    assert_eq!(config.models.dir, Path::new("./models/cache"));
    assert_eq!(config.telegram.api_url, "https://api.telegram.org");
    assert_eq!(config.telegram.token, None);
}

#[test]
fn every_type_of_setting_is_read_from_file_and_environment() {
    let file = "[telegram]\nstreaming = false\nambiguous_send = \"mark\"\ntoken = \"1:a\"\n[model]\nadapter_scale = 0\n\
        [emotion.labels]\nLABEL_0 = \"joy\"\n[log]\nformat = \"json\"\n";
    let config = load(file, &[]).unwrap();
    assert!(!config.telegram.streaming);
    assert_eq!(config.telegram.ambiguous_send, AmbiguousSend::Mark);
    assert_eq!(config.telegram.token, Some(Secret::new("1:a")));
    assert_eq!(config.emotion.labels["LABEL_0"], Label::Joy);
    assert_eq!(config.log.format, LogFormat::Json);

    let env = [
        ("AI_FRIEND_TELEGRAM_STREAMING", "off"),
        ("AI_FRIEND_EMOTION_LABELS", "LABEL_0=joy, LABEL_1=anger"),
        ("AI_FRIEND_MODEL_ADAPTER_SCALE", "0.1"),
        ("AI_FRIEND_PERSONA", "me.toml"),
    ];
    let config = load("", &env).unwrap();
    assert!(!config.telegram.streaming);
    assert_eq!(config.emotion.labels.len(), 2);
    assert!((config.model.adapter_scale - 0.1).abs() < 1e-6);
    assert_eq!(config.persona.path.as_deref(), Some(Path::new("me.toml")));
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_its_nearest_neighbour() {
    let told = complaint("# mine\n[conversation]\nhistory_turns = 10\nburst_quite_ms = 5\n", &[]);
    assert_eq!(told, ":4: unknown key `burst_quite_ms` in [conversation]; did you mean `burst_quiet_ms`?");
    assert_eq!(complaint("[telegrm]\n", &[]), ":1: unknown section [telegrm]; did you mean [telegram]?");
    let told = complaint("[telegram]\nslots = 3\n", &[]);
    assert_eq!(told, ":2: unknown key `slots` in [telegram]; it belongs to [model]");
    let told = complaint("token = \"1:a\"\n", &[]);
    assert_eq!(told, ":1: `token` is a setting of the section [telegram]: move it there");
    let told = complaint("TG_BOT_TOKEN = \"1:a\"\n", &[]);
    assert_eq!(
        told,
        ":1: `TG_BOT_TOKEN` is the environment's name; in this file it is `token` in the section [telegram]"
    );
    let told = complaint("", &[("AI_FRIEND_MODEL_THREAD", "2")]);
    assert_eq!(
        told,
        "environment variable AI_FRIEND_MODEL_THREAD: no setting has this name; did you mean AI_FRIEND_MODEL_THREADS?"
    );
}

#[test]
fn what_kubernetes_tells_every_container_of_a_service_is_no_mistake_of_ours() {
    let told = [
        ("AI_FRIEND_WEB_SERVICE_HOST", "10.0.0.1"),
        ("AI_FRIEND_WEB_SERVICE_PORT", "9090"),
        ("AI_FRIEND_WEB_SERVICE_PORT_METRICS", "9090"),
        ("AI_FRIEND_WEB_PORT", "tcp://10.0.0.1:9090"),
        ("AI_FRIEND_WEB_PORT_9090_TCP", "tcp://10.0.0.1:9090"),
        ("AI_FRIEND_WEB_PORT_9090_TCP_ADDR", "10.0.0.1"),
        ("AI_FRIEND_SERVICE_HOST", "10.0.0.2"),
        ("AI_FRIEND_PORT", "tcp://10.0.0.2:80"),
    ];
    let env = told.map(|(name, value)| (name.into(), value.into())).to_vec();
    let loaded = config::load(&Sources { env, ..Sources::default() }).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    // A port that somebody meant is still pointed out.
    let told = complaint("", &[("AI_FRIEND_WEB_PORT", "9090")]);
    assert!(told.contains("no setting has this name"), "{told}");
}

#[test]
fn the_settings_in_force_are_shown_with_where_they_come_from_and_what_looks_like_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "[model]\nslots = 3\n").unwrap();
    let env = vec![("AI_FRIEND_DATAA".into(), "x".into())];
    let sources = Sources { file: Some(file.clone()), env, ..Sources::default() };
    let shown = config::load(&sources).unwrap().show();
    assert!(shown.starts_with(&format!("# from {}", file.display())), "{shown}");
    assert!(
        shown.contains("# warning: environment variable AI_FRIEND_DATAA") && shown.contains("slots = 3"),
        "{shown}"
    );
    let table: toml::Table = shown.parse().expect("it is a settings file itself");
    assert!(table.contains_key("telegram"));
}

#[test]
fn a_wrong_type_is_told_with_what_was_expected_and_what_was_found() {
    let told = complaint("[model]\nslots = \"many\"\n", &[]);
    assert_eq!(told, ":2: model.slots: expected a whole number, found the text \"many\"");
    let told = complaint("[telegram]\nstreaming = 1\n", &[]);
    assert_eq!(told, ":2: telegram.streaming: expected true or false, found the whole number 1");
    let told = complaint("[telegram]\nambiguous_send = \"resent\"\n", &[]);
    assert!(told.ends_with("expected one of resend, mark, found \"resent\"; did you mean \"resend\"?"), "{told}");
    let told = complaint("model = 3\n", &[]);
    assert_eq!(told, ":1: [model] is a section, but a single value was given");
    let told = complaint("[emotion.labels]\nA = \"happy\"\n", &[]);
    assert!(told.contains("expected one of anger, disgust, fear, joy, neutral, sadness, surprise"), "{told}");
}

#[test]
fn a_number_out_of_range_is_told_with_its_range_and_its_source() {
    let told = complaint("[telegram]\npoll_timeout_s = 51\n", &[]);
    assert_eq!(told, ":2: telegram.poll_timeout_s: 51 is out of range: 0 to 50");
    let told = complaint("", &[("AI_FRIEND_MODEL_SLOTS", "0")]);
    assert_eq!(told, "environment variable AI_FRIEND_MODEL_SLOTS: model.slots: 0 is out of range: 1 to 240");
    assert!(complaint("[model]\nslots = -1\n", &[]).contains("-1 is out of range: 1 to 240"));
    assert!(complaint("", &[("AI_FRIEND_MODEL_SLOTS", "-1")]).contains("-1 is out of range: 1 to 240"));
    assert!(complaint("[model]\nadapter_scale = nan\n", &[]).contains("out of range"));
    assert!(complaint("[model]\nadapter_scale = 1e300\n", &[]).contains("out of range"));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = complaint("[model]\nslots = 0\nlane = 1\n", &[("AI_FRIEND_MODEL_QUEUE_REQUESTS", "x")]);
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn mistakes_are_told_from_the_top_of_the_file_to_its_end() {
    let told = complaint("[web]\nlisten = 9\n[model]\nslots = 0\nlane = 1\n", &[("AI_FRIEND_MODEL_SLOTS", "x")]);
    let starts: Vec<&str> = told.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(starts, [":2", ":4", ":5", "environment variable AI_FRIEND_MODEL_SLOTS"], "{told}");
}

#[test]
fn a_variable_that_follows_the_rule_is_told_the_name_that_the_setting_has() {
    for (written, meant) in [
        ("AI_FRIEND_TELEGRAM_TOKEN", "TG_BOT_TOKEN"),
        ("AI_FRIEND_TELEGRAM_API_URL", "TG_API_URL"),
        ("AI_FRIEND_MODEL_NAME", "MODEL"),
        ("AI_FRIEND_MODELS_HUB_TOKEN", "HF_TOKEN"),
        ("AI_FRIEND_EMOTION_ONNXRUNTIME", "ORT_DYLIB_PATH"),
    ] {
        let told = complaint("", &[(written, "x")]);
        assert!(told.ends_with(&format!("did you mean {meant}?")), "{told}");
    }
    let env = [("AI_FRIEND_MODEL", "MODEL"), ("AI_FRIEND_TOKEN", "TG_BOT_TOKEN")];
    let given = env.map(|(name, _)| (name.into(), "x".into())).to_vec();
    let warnings = config::load(&Sources { env: given, ..Sources::default() }).unwrap().warnings;
    for ((_, meant), warning) in env.iter().zip(&warnings) {
        assert!(warning.ends_with(&format!("did you mean {meant}?")), "{warning}");
    }
}

#[test]
fn a_bot_api_behind_a_path_and_a_fraction_from_the_environment_are_taken() {
    let env = [("TG_API_URL", "https://proxy.example/bot-api/v1"), ("AI_FRIEND_MODEL_ADAPTER_SCALE", "0.5")];
    let config = load("", &env).unwrap();
    assert_eq!((config.telegram.api_url.as_str(), config.model.adapter_scale), (env[0].1, 0.5));
}

#[test]
fn passwords_in_addresses_are_not_shown() {
    let config = load("[models]\nhub_url = \"https://ann:hunter2@hub.example\"\n", &[]).unwrap();
    let shown = config.show();
    assert!(shown.contains("https://[secret]@hub.example") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_text_without_quotes_is_told_so_and_not_shown() {
    let told = complaint("[telegram]\ntoken = 123456:SECRET\n", &[]);
    assert!(told.contains(":2: ") && told.contains("in quotes") && !told.contains("SECRET"), "{told}");
    let told = complaint("[model]\n\nslots = = 3\n", &[]);
    assert!(!told.contains("in quotes"), "{told}");
}

#[test]
fn settings_that_do_not_fit_together_are_refused() {
    let pairs = [
        ("[model]\nslots = 32\nlanes = 8\n", "lanes"),
        ("[model]\ncontext_tokens = 4096\nkv_tokens = 2048\n", "kv_tokens"),
        ("[telegram]\napi_url = \"telegram.org\"\n", "TG_API_URL"),
        ("[telegram]\napi_url = \"https://api.telegram.org/bot1:a\"\n", "has a token in it"),
        ("[web]\nlisten = \"9090\"\n", "web.listen"),
        ("[safety]\nanswer = \" \"\n", "safety.answer"),
        ("[safety]\nanswer_again = \" \"\n", "safety.answer_again"),
        ("[safety]\nanswer_other = \" \"\n", "safety.answer_other"),
        ("[safety]\nanswer_thanks = \" \"\n", "safety.answer_thanks"),
        ("[safety]\npatterns = [\"(\"]\n", "safety.patterns"),
        ("[safety]\npatterns = \"(\"\n", "safety.patterns"),
    ];
    for (file, named) in pairs {
        let told = complaint(file, &[]);
        assert!(told.contains(named), "{told} should name {named}");
    }
}

#[test]
fn a_call_may_be_given_up_sooner_than_a_poll_that_waits_for_news() {
    let config = load("[telegram]\npoll_timeout_s = 50\nrequest_timeout_s = 10\n", &[]).unwrap();
    assert_eq!((config.telegram.poll_timeout_s, config.telegram.request_timeout_s), (50, 10));
}

#[test]
fn a_file_that_is_no_text_or_no_toml_is_told_with_its_line() {
    let error = load_bytes(b"[model]\nname = \"\xff\"\n", &[]).unwrap_err().to_string();
    assert!(error.contains("ai-friend.toml:2: this is not valid UTF-8"), "{error}");
    let error = load("[model]\n\nslots = = 3\n", &[]).unwrap_err().to_string();
    assert!(error.contains("ai-friend.toml:3: this is not valid TOML"), "{error}");
    let missing = Sources { file: Some("/nowhere/at-all.toml".into()), ..Sources::default() };
    let error = config::load(&missing).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at-all.toml"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_variable_that_is_no_text_is_told_by_name() {
    use std::os::unix::ffi::OsStringExt;
    let env = vec![("MODEL".into(), OsString::from_vec(vec![0xff]))];
    let error = config::load(&Sources { env, ..Sources::default() }).unwrap_err().to_string();
    assert_eq!(error, "environment variable MODEL: its value is not valid UTF-8 text");
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    assert_eq!(load("\u{feff}[model]\nslots = 3\n", &[]).unwrap().model.slots, 3);
}

#[test]
fn no_error_and_no_print_shows_the_token() {
    let mistakes = [
        "[telegram]\ntoken = 123:SECRET\n",
        "[telegram]\ntoken = \"123:SECRET\n",
        "[telegram]\ntoken = [\"123:SECRET\"]\n",
        "[telegram]\ntokne = \"123:SECRET\"\n",
        "telegram = \"123:SECRET\"\n",
        "token = \"123:SECRET\"\n",
        "[telegram]\ntoken = \"123:SECRET\"\nslots = 1\n",
    ];
    for file in mistakes {
        let error = load(file, &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
    }
    let config = load("", &[("TG_BOT_TOKEN", "123:SECRET")]).unwrap();
    let json = serde_json::to_string(&config).unwrap();
    let shown = format!("{config:?} {json} {}", config.show());
    assert!(!shown.contains("SECRET"), "{shown}");
    assert_eq!(config.telegram.token.unwrap().expose(), "123:SECRET");
}

/// After a change: `ai-friend config example > ai-friend.example.toml`.
#[test]
fn the_example_file_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ai-friend.example.toml");
    let written = std::fs::read_to_string(path).expect("ai-friend.example.toml");
    assert_eq!(written, config::example(), "run: ai-friend config example > ai-friend.example.toml");
}

#[test]
fn the_example_file_with_its_values_uncommented_is_the_default_config() {
    let is_setting = |line: &str| line.starts_with('#') && !line.starts_with("# ") && !line.ends_with(" =");
    let example = config::example();
    let lines: Vec<&str> = example.lines().map(|line| if is_setting(line) { &line[1..] } else { line }).collect();
    let values = lines.iter().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
    assert!(values >= 50, "only {values} settings in the example");
    assert_eq!(load(&lines.join("\n"), &[]).unwrap(), Config::default());
}

#[test]
fn every_number_has_a_range_and_every_setting_its_documentation() {
    let numbers = config::example();
    for (section, doc, fields) in Config::sections() {
        assert!(!doc.is_empty(), "[{section}] has no documentation");
        for field in fields {
            assert!(!field.doc.is_empty(), "{section}.{} has no documentation", field.name);
            let default = numbers.lines().find_map(|line| line.strip_prefix(&format!("#{} = ", field.name)));
            let number = default.is_some_and(|value| value.parse::<f64>().is_ok());
            assert_eq!(number, field.range.is_some(), "{section}.{}: numbers, and only they, have ranges", field.name);
        }
    }
}
