//! Every setting there is, with its default, its range and what it does. The example file is made from these comments.

use std::collections::BTreeMap;
use std::path::PathBuf;

use friend_actors::safety;
use friend_actors::types::Label;

use super::Secret;
use super::setting::{choice, sections};

sections! {
    /// The messenger.
    Telegram in "telegram" {
        /// The bot's token, from @BotFather. Better given as TG_BOT_TOKEN: files get copied.
        token: Option<Secret> = None, env "TG_BOT_TOKEN";
        /// The Bot API's base; the bot appends /bot<token>/<method>. A Bot API server of your own works too.
        api_url: String = "https://api.telegram.org".to_owned(), env "TG_API_URL";
        /// How long one getUpdates call waits for news, in seconds.
        poll_timeout_s: u64 = 25, 0..=50;
        /// When a call is given up, in seconds; a getUpdates call, which waits for news, gets poll_timeout_s more.
        request_timeout_s: u64 = 60, 1..=300;
        /// Shows the answer as it grows (private chats).
        streaming: bool = true;
        /// Shortest time between two previews of a growing answer, in milliseconds.
        preview_interval_ms: u64 = 1000, 200..=20000;
        /// What to do when a connection broke and nobody knows whether the message arrived: "resend" (once; the person
        /// may see it twice) or "mark" (never; the person may miss it).
        ambiguous_send: AmbiguousSend = AmbiguousSend::Resend;
    }

    /// The language model and the engine that batches everyone's answers.
    Model in "model" {
        /// A name of the catalogue (`ai-friend models list`), a .gguf file, a Hugging Face folder of a GPT-NeoX, or a PEFT
        /// folder with its base.
        name: String = "smollm2-135m-instruct".to_owned(), env "MODEL";
        /// A LoRA adapter instead of the catalogue's: a .gguf, or a PEFT folder.
        adapter: Option<PathBuf> = None;
        /// How strongly the adapter acts; 1 is as trained.
        adapter_scale: f32 = 1.0, -8.0..=8.0;
        /// False runs the bare model (also --no-adapter).
        use_adapter: bool = true;
        /// Tokens that one conversation may hold in the model's context.
        context_tokens: u32 = 2048, 256..=131072;
        /// Most answers generated at once.
        slots: u32 = 32, 1..=240;
        /// Most conversations kept in the KV cache, those being answered included.
        lanes: u32 = 64, 1..=240;
        /// KV cells in all, in tokens; conversations share them. 0: as many as suit the free memory, a stream for each
        /// conversation where a quarter of it suffices, or else a pool of 32768.
        kv_tokens: u32 = 0, 0..=16777216;
        /// "unified": all conversations share the cells. "split": each has context_tokens of its own, which is faster for
        /// many; it needs kv_tokens of at least context_tokens for each slot and 17 more. "auto": split where kv_tokens
        /// suffices, and where the model needs it (for a sliding window shorter than context_tokens), whatever kv_tokens is.
        kv_layout: KvLayout = KvLayout::Auto;
        /// How the cells' keys are stored: "f16", or "q8_0", which takes less memory and is faster on a CPU. "auto": q8_0
        /// on a CPU, if the model's heads are a multiple of 32.
        kv_keys: KvKeys = KvKeys::Auto;
        /// Memory for conversations that are no longer in the KV cache, in percent of what is free once the model is loaded:
        /// whoever comes back is answered without computing all that was said anew. 0 keeps none.
        cache_ram_percent: u32 = 20, 0..=80;
        /// Most tokens computed in one step.
        batch_tokens: u32 = 512, 16..=8192;
        /// Requests that may wait for a slot; beyond it the friend says that it is busy.
        queue_requests: usize = 256, 1..=100000;
        /// Threads of the engine; 0 measures and chooses.
        threads: u32 = 0, 0..=512;
        /// Layers on the GPU; 0 is CPU only, 999 is all.
        gpu_layers: u32 = 0, 0..=999;
        /// Gap between two tokens of one answer that scheduling aims at, in milliseconds. Where decoding alone comes near to it,
        /// short prompts of newcomers still get up to twice what decoding takes.
        inter_token_target_ms: u64 = 150, 5..=10000;
    }

    /// The emotion classifier. How its scores are smoothed is the persona's.
    Emotion in "emotion" {
        /// Folder with model.onnx, tokenizer.json and config.json.
        model: PathBuf = PathBuf::from("models/emotion");
        /// ONNX Runtime's shared library; without it the one that `make models` fetched.
        onnxruntime: Option<PathBuf> = None, env "ORT_DYLIB_PATH";
        /// The model's labels in our words (anger, disgust, fear, joy, neutral, sadness, surprise), where they differ:
        /// labels = { LABEL_0 = "anger", LABEL_1 = "disgust" }
        labels: BTreeMap<String, Label> = BTreeMap::new();
        /// Longer messages are shortened to this many tokens.
        max_length_tokens: u32 = 128, 8..=512;
        /// Most messages scored in one run.
        batch_max_messages: usize = 32, 1..=1024;
        /// How long a message waits for others to be scored with it, in milliseconds.
        batch_wait_ms: u64 = 4, 0..=1000;
        /// Messages that may wait to be scored.
        queue_messages: usize = 1024, 1..=100000;
        /// After this the conversation goes on as if the message were neutral, in milliseconds.
        deadline_ms: u64 = 1500, 10..=60000;
    }

    /// Who the friend is.
    Persona in "persona" {
        /// A persona file; without it the built-in one, personas/arthur.toml.
        path: Option<PathBuf> = None, env "AI_FRIEND_PERSONA";
    }

    /// How a conversation is led.
    Conversation in "conversation" {
        /// Messages that follow each other within this time are answered as one, in milliseconds.
        burst_quiet_ms: u64 = 700, 0..=60000;
        /// No burst is waited for longer than this, in milliseconds.
        burst_max_ms: u64 = 5000, 0..=300000;
        /// How often new messages may interrupt one answer before it is finished all the same.
        max_cancels: u32 = 3, 0..=100;
        /// Turns of history that the model is given, at most; when there are more, the oldest two fifths leave at once.
        history_turns: usize = 40, 1..=1000;
        /// An answer that takes longer is tried once more, and if that takes as long, after about twice this, given up with a
        /// kind word; in seconds.
        reply_deadline_s: u64 = 120, 1..=3600;
        /// Conversations that are silent for longer leave the memory (never the store), in seconds.
        idle_evict_s: u64 = 900, 1..=604800;
        /// Conversations in memory at once, at most.
        max_sessions: usize = 20000, 1..=1000000;
        /// Messages of one person that may wait for an answer; older ones are merged first.
        max_waiting_messages: usize = 64, 1..=1000;
        /// Longer messages are shortened before the model reads them, in characters.
        max_message_chars: usize = 4096, 1..=65536;
    }

    /// What is kept, and for how long.
    Store in "store" {
        /// The data folder. One process at a time.
        data: PathBuf = PathBuf::from("./data"), env "AI_FRIEND_DATA";
        /// Days that conversations are kept; 0 keeps them until the person says /forget. What a person asked for by /remember
        /// stays until they drop it or say /forget.
        keep_turns_days: u32 = 0, 0..=36500;
        /// Days that keys of updates are kept, so that none is taken twice (Telegram repeats them for one day).
        keep_update_keys_days: u32 = 7, 2..=365;
        /// Requests that may wait for the database.
        queue_requests: usize = 4096, 16..=1000000;
        /// Most requests committed together.
        group_max_requests: usize = 256, 1..=4096;
        /// The database's largest size in MiB; 0 is no limit but the disk's.
        max_size_mib: u64 = 0, 0..=16777216;
    }

    /// Where models are kept and where they come from.
    Models in "models" {
        /// The folder of downloaded and converted models.
        dir: PathBuf = PathBuf::from("./models/cache"), env "AI_FRIEND_MODELS";
        /// The folder of the adapters that ship with the program.
        adapters: PathBuf = PathBuf::from("models/adapters");
        /// The model hub, or a mirror of it.
        hub_url: String = "https://huggingface.co".to_owned(), env "HF_ENDPOINT";
        /// The hub's token, for models that ask for one.
        hub_token: Option<Secret> = None, env "HF_TOKEN";
    }

    /// What happens when a message speaks of self-harm.
    Safety in "safety" {
        /// Answers with a text below instead of a generated one.
        enabled: bool = true;
        /// The answer. Name the helplines of your users' countries.
        answer: String = safety::ANSWER.to_owned();
        /// The answer where the same talk has had the one above: nobody in need wants to read the same words twice.
        answer_again: String = safety::ANSWER_AGAIN.to_owned();
        /// The answer to who worries about someone else.
        answer_other: String = safety::ANSWER_OTHER.to_owned();
        /// The answer to who says no more than "ok thanks" after one of these.
        answer_thanks: String = safety::ANSWER_THANKS.to_owned();
        /// What is said next, before the model speaks again, each text once; without any it speaks at once. To whatever comes first:
        next_safe: String = safety::SAFE.to_owned();
        /// To whatever comes then.
        next_heavy: String = safety::HEAVY.to_owned();
        /// To someone who is not safe, or has the means at hand; said as often as that is.
        next_unsafe: String = safety::UNSAFE.to_owned();
        /// To someone who has nobody, or cannot call. Name the lines of your users' countries that can be written to.
        next_alone: String = safety::ALONE.to_owned();
        /// To someone who has called somebody, or has somebody coming.
        next_company: String = safety::COMPANY.to_owned();
        /// To someone who asks whom to call.
        next_lines: String = safety::LINES.to_owned();
        /// To someone who was got wrong: the model speaks again after it.
        next_wrong: String = safety::WRONG.to_owned();
        /// To someone who worries about another person, whatever comes first.
        next_other: String = safety::OTHER.to_owned();
        /// More regular expressions (Rust's syntax, case ignored) that say so, for languages other than English.
        patterns: Vec<String> = Vec::new();
        /// How sure the emotion model must be, 0 to 1, that a message speaks of it without saying so plainly; 1 leaves that to the
        /// words alone. The shipped model is set for the default: elsewhere the number is no share of anything. A model that was not
        /// taught to hear it is not asked.
        danger_above: f32 = safety::DANGER_ABOVE, 0.0..=1.0;
    }

    /// The log. It never holds message text.
    Log in "log" {
        /// error, warn, info, debug or trace, also per module: "info,friend_actors=debug". "auto" is info, and warn for commands
        /// that talk with a person in the terminal.
        level: String = AUTO.to_owned(), env "AI_FRIEND_LOG";
        /// "text" for people, "json" for machines.
        format: LogFormat = LogFormat::Text;
    }

    /// Health and metrics over HTTP.
    Web in "web" {
        /// Address to listen on, such as "127.0.0.1:9090". Not set: off.
        listen: Option<String> = None;
    }

    /// What happens when a part of the program breaks.
    Supervision in "supervision" {
        /// Restarts within restart_period_s after which the program gives up and exits.
        restart_intensity: u32 = 8, 0..=1000;
        /// The period that restarts are counted in, in seconds.
        restart_period_s: u64 = 60, 1..=86400;
        /// Pause before the first restart, in milliseconds; doubled each time.
        backoff_min_ms: u64 = 50, 0..=60000;
        /// Longest pause before a restart, in milliseconds.
        backoff_max_ms: u64 = 10000, 0..=600000;
        /// How long answers in flight may take when the program is asked to stop, in seconds.
        shutdown_grace_s: u64 = 20, 0..=600;
    }
}

choice! {
    /// What to do when nobody knows whether a message arrived.
    AmbiguousSend {
        /// Send it once more: at most one duplicate, nothing missing.
        Resend = "resend",
        /// Do not: at most one missing, no duplicate.
        Mark = "mark",
    }
}

choice! {
    /// How the KV cache is laid out.
    KvLayout {
        /// Split where the cells suffice, unified elsewhere.
        Auto = "auto",
        /// One pool of cells for all conversations.
        Unified = "unified",
        /// A stream of cells for each conversation.
        Split = "split",
    }
}

choice! {
    /// How the KV cache's keys are stored.
    KvKeys {
        /// Eight bits on a CPU where the model allows it, 16 elsewhere.
        Auto = "auto",
        /// 16-bit floating point.
        F16 = "f16",
        /// Eight-bit integers with a scale for every 32.
        Q8_0 = "q8_0",
    }
}

choice! {
    /// How the log looks.
    LogFormat {
        /// One line an event, for people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

/// The level of the log that is chosen by what the command does.
pub const AUTO: &str = "auto";
