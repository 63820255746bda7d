//! `ai-friend models …`: getting language models ready.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use friend_gguf::convert::{QuantType, Shape};

/// `ai-friend models`.
#[derive(Clone, Debug, Args)]
pub struct Models {
    /// What to do.
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// What can be done with models.
#[derive(Clone, Debug, Subcommand)]
pub enum ModelsCommand {
    /// Lists the catalogue: names, what is here already, licences
    List,
    /// Fetches a model of the catalogue and makes it ready: pulled, converted, quantised
    Pull {
        /// Its name in the catalogue
        name: String,
    },
    /// Adds a model of your own to the catalogue, or an adapter to one that is in it
    ///
    /// The two empathetic Dolly models want their adapter this way:
    /// ai-friend models add dolly-v2-3b-lora-emphatic-dd --adapter ./models/dolly-v2-3b-lora-emphatic-dd
    Add(Add),
    /// Removes a model's files, and its entry if it is your own
    Remove {
        /// Its name in the catalogue
        name: String,
    },
    /// Converts a Hugging Face GPT-NeoX folder to GGUF
    Convert {
        /// Folder with config.json, tokenizer.json and weights
        folder: PathBuf,
        /// The GGUF to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// How matrices are stored
        #[arg(long, value_enum, default_value = "f16")]
        dtype: DtypeName,
    },
    /// Converts a PEFT LoRA folder to GGUF, for a GPT-NeoX or Llama base
    ///
    /// A friend_adapter.json in the folder goes along: {"name", "licence", "commercial": true|false, "base_sha256",
    /// "base_name", "template": "chat"|"dolly", "data", "recipe"}, each of them optional. An adapter that names a base or a
    /// template is not served over any other.
    ConvertLora {
        /// Folder with adapter_config.json and its weights
        folder: PathBuf,
        /// The base it was trained on: its Hugging Face folder or its GGUF
        #[arg(long, value_name = "FOLDER|GGUF")]
        base: PathBuf,
        /// The GGUF to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// How its factors are stored
        #[arg(long, value_enum, default_value = "f32")]
        dtype: LoraDtypeName,
    },
    /// Merges a LoRA into its base: one GGUF that needs no adapter
    ///
    /// Where the adapter names another base than this file, that is told, not refused: an F16 original holds the same weights.
    Merge {
        /// The base: a Hugging Face folder, or a GGUF in F32, F16, BF16, Q8_0 or Q4_0
        base: PathBuf,
        /// The adapter: a PEFT folder or a GGUF; with =SCALE another strength than it was trained with
        #[arg(long, value_name = "ADAPTER[=SCALE]", value_parser = parse_lora)]
        lora: Lora,
        /// The GGUF to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// How matrices are stored
        #[arg(long, value_enum, default_value = "f16")]
        dtype: DtypeName,
    },
    /// Quantises a GGUF through llama.cpp
    Quantize {
        /// The GGUF to read
        input: PathBuf,
        /// The GGUF to write
        output: PathBuf,
        /// Into what: Q4_K_M, Q5_K_M, Q6_K, Q8_0, Q4_0 …
        #[arg(long = "type", value_name = "TYPE")]
        kind: QuantType,
        /// Takes an input that is quantised already: exact only into a wider type
        #[arg(long)]
        allow_requantize: bool,
        /// How much each input of a matrix matters, as `llama-imatrix` writes it: the smaller the type, the more it helps
        #[arg(long, value_name = "FILE")]
        importance: Option<PathBuf>,
        /// Threads; 0 takes all cores
        #[arg(long, default_value_t = 0)]
        threads: u32,
    },
    /// Shows what a GGUF holds, and whether this machine can serve it
    Inspect {
        /// The GGUF
        file: PathBuf,
        /// Prints one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Compares a GGUF's logits and greedy tokens with what the original computes
    ///
    /// Exit status 1 where they differ beyond the limit. The context is exact: F32 KV, no flash attention.
    Verify(Verify),
    /// Writes a model of true shape with random weights, to measure speed and memory where the real one cannot be had
    Synthesize {
        /// Whose shape: dolly-v2-3b, dolly-v2-7b or tiny
        #[arg(long, value_name = "SHAPE")]
        shape: Shape,
        /// Into what: F16, Q8_0, Q4_0, Q4_K_M
        #[arg(long = "type", value_name = "TYPE", default_value = "Q4_K_M")]
        kind: QuantType,
        /// Same seed, same file
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The GGUF to write [default: in the models' folder]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// `ai-friend models add`.
#[derive(Clone, Debug, Args)]
pub struct Add {
    /// Its name: lower-case letters, digits, `-`, `_`, `.`
    pub name: String,
    /// Its weights: a name of the catalogue, a Hugging Face folder, a GGUF, or a repository of the hub (owner/name)
    #[arg(long, value_name = "SOURCE")]
    pub base: Option<String>,
    /// Its LoRA: a PEFT folder, a GGUF, or a repository of the hub
    #[arg(long, value_name = "SOURCE")]
    pub adapter: Option<String>,
    /// How strongly the adapter acts; 1 is as trained [default: as it is set; 1 for a new one]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub scale: Option<f32>,
    /// The form in which it is served [default: Q4_K_M]
    #[arg(long, value_name = "TYPE")]
    pub quantisation: Option<QuantType>,
    /// How prompts are written for it [default: chat where the GGUF has a chat template, else dolly]
    #[arg(long, value_enum)]
    pub template: Option<TemplateName>,
    /// Its licence, for the list
    #[arg(long, value_name = "TEXT")]
    pub licence: Option<String>,
}

/// `ai-friend models verify`.
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// The model
    pub gguf: PathBuf,
    /// Adapter in GGUF; with =SCALE another strength than 1
    #[arg(long, value_name = "GGUF[=SCALE]", value_parser = parse_lora)]
    pub lora: Option<Lora>,
    /// Prompts with the original's logits and greedy tokens
    #[arg(long, value_name = "FILE")]
    pub expected: PathBuf,
    /// Which of the original's variants to compare with
    #[arg(long, default_value = "base", value_parser = ["base", "lora_1.0", "lora_0.5", "merged"])]
    pub variant: String,
    /// Largest difference of a logit that passes; 0.04 suits F32 files, 0.15 F16
    #[arg(long, default_value_t = 0.04)]
    pub limit: f32,
}

/// An adapter and its strength.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// A PEFT folder or a GGUF.
    pub path: PathBuf,
    /// 1 is as trained.
    pub scale: f32,
}

/// `adapter.gguf` or `adapter.gguf=0.5`.
fn parse_lora(text: &str) -> Result<Lora, String> {
    match text.rsplit_once('=') {
        Some((path, scale)) => match scale.parse::<f32>() {
            Ok(scale) if scale.is_finite() && scale.abs() <= 8.0 => Ok(Lora { path: path.into(), scale }),
            _ => Err(format!("`{scale}` is no scale from -8 to 8")),
        },
        None => Ok(Lora { path: text.into(), scale: 1.0 }),
    }
}

/// How matrices are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DtypeName {
    F32,
    F16,
    #[value(name = "q8_0")]
    Q8_0,
}

/// How an adapter's factors are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LoraDtypeName {
    F32,
    F16,
}

/// How prompts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TemplateName {
    /// The reference's plain text.
    Dolly,
    /// The GGUF's own chat template.
    Chat,
}
