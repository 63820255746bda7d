//! The model itself: ONNX Runtime's library, the graph, and one run over a padded batch.

use std::{
    path::{Path, PathBuf},
    slice::ChunksExact,
    sync::Mutex,
};

use friend_actors::{
    ports::ScoreError,
    types::{Danger, Reading, Scores},
};
use friend_gguf::llama::NO_TELEMETRY;
use ort::{
    environment::Environment,
    session::{Session, SessionOutputs, builder::GraphOptimizationLevel},
    value::{Tensor, TensorElementType, ValueType},
};

use super::{
    OnnxConfig, OnnxError,
    encoder::{Encoder, runs},
    labels::{Columns, hears_danger, softmax},
};

/// A classifier that is loaded, checked and tried. Lives on one thread.
pub struct Classifier {
    encoder: Encoder,
    columns: Columns,
    session: Session,
    /// Older BERTs want to know which of two sentences a token belongs to; here all belong to the first.
    wants_token_types: bool,
    output: String,
    hears_danger: bool,
}

impl Classifier {
    /// Loads library, tokenizer, labels and graph, and scores two messages of different lengths once.
    ///
    /// # Errors
    /// Whatever does not fit, as [`OnnxError`] says.
    pub fn load(config: &OnnxConfig) -> Result<Self, OnnxError> {
        let environment = environment(&config.library)?;
        let encoder = Encoder::load(&config.model_dir.join("tokenizer.json"), config.max_length_tokens)?;
        let columns = Columns::read(&config.model_dir.join("config.json"), &config.label_map)?;
        let file = config.model_dir.join("model.onnx");
        let session = session(&environment, &file)?;
        let shape = |why: String| OnnxError::Shape { file: file.clone(), why };
        let wants_token_types = check_inputs(&session).map_err(shape)?;
        let output = choose_output(&session).map_err(shape)?;
        let hears_danger = hears_danger(&config.model_dir.join("config.json"))?;
        if hears_danger && !session.outputs().iter().any(|output| output.name() == DANGER) {
            return Err(shape(format!("its config.json tells of an output {DANGER}, which it does not have")));
        }
        let mut classifier = Self { encoder, columns, session, wants_token_types, output, hears_danger };
        let tried = classifier.score(&["hello".to_owned(), "a message that is a little longer".to_owned()]);
        tried.map_err(|error| shape(format!("a first try failed: {error}")))?;
        Ok(classifier)
    }

    /// Scores texts, as many as come, in runs of similar length; the results are in the texts' order.
    ///
    /// # Errors
    /// [`ScoreError::Model`] if ONNX Runtime fails or the numbers make no sense.
    pub fn score(&mut self, texts: &[String]) -> Result<Vec<Reading>, ScoreError> {
        let rows = texts.iter().map(|text| self.encoder.encode(text)).collect::<Result<Vec<_>, _>>()?;
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let (order, runs) = runs(&lengths);
        let mut readings = vec![Reading { scores: Scores::NEUTRAL, danger: None }; texts.len()];
        for run in runs {
            let members = &order[run];
            let batch: Vec<&[i64]> = members.iter().map(|&index| rows[index].as_slice()).collect();
            for (&index, reading) in members.iter().zip(self.run(&batch)?) {
                readings[index] = reading;
            }
        }
        Ok(readings)
    }

    /// One run: rows of token ids, padded to the longest, through the graph.
    fn run(&mut self, rows: &[&[i64]]) -> Result<Vec<Reading>, ScoreError> {
        let failed = |error: ort::Error| ScoreError::Model(error.to_string());
        let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(rows.len() * width);
        let mut mask = Vec::with_capacity(rows.len() * width);
        for row in rows {
            let padding = width - row.len();
            ids.extend(row.iter().copied().chain(std::iter::repeat_n(self.encoder.pad_id(), padding)));
            mask.extend(std::iter::repeat_n(1_i64, row.len()).chain(std::iter::repeat_n(0, padding)));
        }
        let tensor = |values: Vec<i64>| Tensor::from_array(([rows.len(), width], values)).map_err(failed);
        let mut inputs = vec![("input_ids", tensor(ids)?), ("attention_mask", tensor(mask)?)];
        if self.wants_token_types {
            inputs.push(("token_type_ids", tensor(vec![0; rows.len() * width])?));
        }
        let outputs = self.session.run(inputs).map_err(failed)?;
        let no_number = || ScoreError::Model("a logit is not a finite number".to_owned());
        let logits = matrix(&outputs, &self.output, rows.len(), self.columns.count())?;
        let scored = logits.map(|row| self.columns.scores(row)).collect::<Option<Vec<_>>>().ok_or_else(no_number)?;
        let mut readings: Vec<_> = scored.into_iter().map(|scores| Reading { scores, danger: None }).collect();
        if self.hears_danger {
            for (reading, row) in readings.iter_mut().zip(matrix(&outputs, DANGER, rows.len(), 3)?) {
                let [_, themselves, someone_else] = softmax(row).ok_or_else(no_number)?[..] else {
                    return Err(no_number());
                };
                reading.danger = Some(Danger { themselves, someone_else });
            }
        }
        Ok(readings)
    }
}

/// The output beside the labels' that tells of danger, in the order that [`hears_danger`] checks.
const DANGER: &str = "danger";

/// The rows of an output that is to have so many, of so many logits.
fn matrix<'a>(
    outputs: &'a SessionOutputs<'_>,
    name: &str,
    rows: usize,
    columns: usize,
) -> Result<ChunksExact<'a, f32>, ScoreError> {
    let failed = |error: ort::Error| ScoreError::Model(error.to_string());
    let (shape, values) = outputs[name].try_extract_tensor::<f32>().map_err(failed)?;
    if **shape != [rows as i64, columns as i64] {
        return Err(ScoreError::Model(format!("{name} has the shape {shape:?}, not [{rows}, {columns}]")));
    }
    Ok(values.chunks_exact(columns))
}

/// The process's ONNX Runtime. It can be loaded only once, so the first scorer's library serves all.
fn environment(library: &Path) -> Result<Environment, OnnxError> {
    static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);
    let unusable = |why: String| OnnxError::Library { path: library.to_owned(), why };
    // ort looks for a relative path beside the binary first; ours is relative to where the process runs.
    let path = library.canonicalize().map_err(|_| OnnxError::NoLibrary(library.to_owned()))?;
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((first, environment)) = loaded.as_ref() {
        if *first != path {
            return Err(unusable(format!("this process already uses {}", first.display())));
        }
        return Ok(environment.clone());
    }
    if std::env::var_os(NO_TELEMETRY).is_none() {
        return Err(unusable(format!(
            "without {NO_TELEMETRY}=1 in the environment it would report to its maker over the network; set it and start again"
        )));
    }
    let builder = ort::init_from(&path).map_err(|error| unusable(error.to_string()))?;
    let built = builder.with_name("ai-friend").with_telemetry(false).build();
    let environment = built.map_err(|error| unusable(error.to_string()))?;
    *loaded = Some((path, environment.clone()));
    Ok(environment)
}

/// One thread that does not spin: messages are short, and the language model needs the cores.
fn session(environment: &Environment, file: &Path) -> Result<Session, OnnxError> {
    let damaged = |why: String| OnnxError::File { file: file.to_owned(), why };
    std::fs::File::open(file).map_err(|error| damaged(error.to_string()))?;
    let build = || -> ort::Result<Session> {
        let builder = Session::builder(environment)?;
        let builder = builder.with_optimization_level(GraphOptimizationLevel::All)?;
        let builder = builder.with_intra_threads(1)?.with_inter_threads(1)?;
        let builder = builder.with_intra_op_spinning(false)?.with_inter_op_spinning(false)?;
        let builder = builder.with_config_entry(FLOAT_WEIGHTS, if multiplies_bytes() { "0" } else { "1" })?;
        builder.with_log_level(ort::logging::LogLevel::Error)?.commit_from_file(file)
    };
    build().map_err(|error| damaged(error.to_string()))
}

/// ONNX Runtime's switch (`kOrtSessionOptionsDisableQuantQDQ`): quantised weights become floats once, at load, instead of
/// staying bytes that are multiplied as such.
const FLOAT_WEIGHTS: &str = "session.disable_quant_qdq";

/// Has the processor an instruction for sums of products of bytes? Without one (x86 before VNNI), float weights take 40 MB
/// more and no longer: 5.3 against 5.5 ms for a message of nine tokens and 4.8 against 7.4 ms for one in a batch of eight.
/// A fixed rule, not a trial at load: the scores of one machine must not depend on how busy it was when it started, and the
/// two ways differ by up to 0.015.
fn multiplies_bytes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// Do the inputs fit? Says whether `token_type_ids` is among them.
fn check_inputs(session: &Session) -> Result<bool, String> {
    const KNOWN: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];
    let names: Vec<&str> = session.inputs().iter().map(ort::value::Outlet::name).collect();
    let all = names.join(", ");
    if let Some(missing) = KNOWN[..2].iter().find(|wanted| !names.contains(wanted)) {
        return Err(format!("it has no input {missing} (its inputs: {all})"));
    }
    if let Some(unknown) = names.iter().find(|name| !KNOWN.contains(name)) {
        return Err(format!("it wants an input {unknown} that a text does not give (its inputs: {all})"));
    }
    for input in session.inputs() {
        let fits =
            matches!(input.dtype(), ValueType::Tensor { ty: TensorElementType::Int64, shape, .. } if shape.len() == 2);
        if !fits {
            return Err(format!("{} is {}, not a matrix of int64", input.name(), input.dtype()));
        }
    }
    Ok(names.contains(&KNOWN[2]))
}

/// The output with the labels' logits: the one of that name, or the only one.
fn choose_output(session: &Session) -> Result<String, String> {
    let names: Vec<&str> = session.outputs().iter().map(ort::value::Outlet::name).collect();
    match names.as_slice() {
        [only] => Ok((*only).to_owned()),
        several if several.contains(&"logits") => Ok("logits".to_owned()),
        several => Err(format!("none of its outputs is named logits (its outputs: {})", several.join(", "))),
    }
}
