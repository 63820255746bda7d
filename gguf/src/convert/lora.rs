//! A PEFT LoRA folder to an adapter, and to the GGUF that llama.cpp applies at run time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::adapter::{Adapter, Pair, check_size};
use super::encode;
use super::error::{Blame, ConvertError, shorten};
use super::files::read_text;
use super::format::{GgufFile, GgufWriter, MetaValue, TensorPlan};
use super::layout::Layout;
use super::merge::check_fit;
use super::model::{Dtype, Summary, display_name, general};
use super::progress::Progress;
use super::provenance::Provenance;
use super::source::{Checkpoint, SourceTensor};

/// What to convert.
#[derive(Clone, Debug)]
pub struct LoraOptions {
    /// PEFT folder: `adapter_config.json` and `adapter_model.safetensors` or `.bin`.
    pub adapter: PathBuf,
    /// The base: its Hugging Face folder (`config.json` is enough) or its GGUF.
    pub base: PathBuf,
    /// The GGUF to write.
    pub output: PathBuf,
    /// How its factors are stored: F32 or F16.
    pub dtype: Dtype,
}

/// Converts a PEFT LoRA to GGUF.
///
/// # Errors
/// [`ConvertError`] naming what is damaged, missing, or of a kind that GGUF's LoRA cannot express faithfully.
pub fn convert_lora(options: &LoraOptions, progress: &mut dyn Progress) -> Result<Summary, ConvertError> {
    if options.dtype == Dtype::Q8_0 {
        return Err(ConvertError::Unsupported(
            "an adapter is stored as f32 or f16: its rows are too short for q8_0".to_owned(),
        ));
    }
    let (adapter, layout) = open_for(&options.adapter, &options.base)?;
    let mut metadata = general(&display_name(&options.adapter), "adapter", layout.architecture());
    Provenance::of(&options.adapter)?.add_to(&mut metadata);
    metadata.set("adapter.type", MetaValue::Text("lora".to_owned()));
    metadata.set("adapter.lora.alpha", MetaValue::F32(adapter.alpha));
    let mut plans = Vec::new();
    for pair in &adapter.pairs {
        let (columns, rows) = (pair.a.len() as u64 / pair.rank, pair.b.len() as u64 / pair.rank);
        for (end, dims) in [("lora_a", vec![columns, pair.rank]), ("lora_b", vec![pair.rank, rows])] {
            plans.push(TensorPlan { name: format!("{}.{end}", pair.target), dims, kind: options.dtype.kind() });
        }
    }
    let mut writer = GgufWriter::create(&options.output, &metadata, &plans)?;
    progress.start("converting the adapter", plans.iter().filter_map(TensorPlan::bytes).sum());
    let values = adapter.pairs.iter().flat_map(|pair| [&pair.a, &pair.b]);
    let mut parameters = 0;
    for (plan, values) in plans.iter().zip(values) {
        let mut bytes = Vec::with_capacity(values.len() * 4);
        encode::encode(plan.kind, values, &mut bytes).map_err(|reason| ConvertError::tensor(&plan.name, reason))?;
        writer.begin(&plan.name)?;
        writer.write(&bytes)?;
        progress.advance(bytes.len() as u64);
        parameters += values.len() as u64;
    }
    Ok(Summary { bytes: writer.finish()?, tensors: plans.len(), parameters })
}

/// Reads a PEFT folder for a base: its Hugging Face folder, or its GGUF, whose tensors the adapter must then fit.
fn open_for(adapter: &Path, base: &Path) -> Result<(Adapter, Layout), ConvertError> {
    if base.is_dir() {
        let layout = Layout::of_folder(base)?;
        return Ok((open_peft(adapter, layout)?, layout));
    }
    let file = GgufFile::open(base)?;
    let layout = Layout::of_metadata(&file.metadata)?;
    let adapter = open_peft(adapter, layout)?;
    check_fit(&adapter, |name| file.tensor(name).map(|tensor| &tensor.dims[..]))?;
    Ok((adapter, layout))
}

/// Reads a PEFT folder for a base of the given layout.
pub(crate) fn open_peft(folder: &Path, layout: Layout) -> Result<Adapter, ConvertError> {
    let checkpoint = Checkpoint::open_adapter(folder)?;
    let config = PeftConfig::read(folder)?;
    check_size(
        checkpoint
            .tensors()
            .map(|(_, tensor)| tensor.rows().saturating_mul(tensor.columns()))
            .fold(0, u64::saturating_add),
    )?;
    let mut factors: BTreeMap<(u64, &str), [Option<&str>; 2]> = BTreeMap::new();
    for (name, tensor) in checkpoint.tensors() {
        let (layer, part, second) = target(name, layout)?;
        check_factor(name, tensor, layout.matrix(part), config.rank, second)?;
        let slot = &mut factors.entry((layer, part)).or_default()[usize::from(second)];
        if slot.replace(name).is_some() {
            return Err(ConvertError::tensor(name, "occurs twice under different names"));
        }
    }
    let mut pairs = Vec::new();
    for ((layer, part), pair) in factors {
        let target = format!("blk.{layer}.{part}.weight");
        let [Some(a), Some(b)] = pair else {
            return Err(ConvertError::tensor(&target, "only one of its two LoRA factors is there"));
        };
        let (rows, _) = layout.matrix(part);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        checkpoint.read_rows(a, 0, config.rank, &mut first)?;
        for (start, count) in layout.order(part).runs(rows, rows) {
            checkpoint.read_rows(b, start, count, &mut second)?;
        }
        pairs.push(Pair { target, rank: config.rank, a: first, b: second });
    }
    if pairs.is_empty() {
        return Err(Blame::new("LoRA adapter", folder).error("it holds no tensors"));
    }
    Ok(Adapter { alpha: config.alpha, pairs })
}

/// `[rank, inputs]` for the first factor, `[outputs, rank]` for the second.
fn check_factor(
    name: &str,
    tensor: &SourceTensor,
    matrix: (u64, u64),
    rank: u64,
    second: bool,
) -> Result<(), ConvertError> {
    let expected = if second { [matrix.0, rank] } else { [rank, matrix.1] };
    if tensor.shape == expected {
        return Ok(());
    }
    let shape = &tensor.shape;
    Err(ConvertError::tensor(name, format!("has the shape {shape:?}; this base and rank need {expected:?}")))
}

/// Layer, part and factor (false: A, true: B) of a tensor's name.
fn target(name: &str, layout: Layout) -> Result<(u64, &'static str, bool), ConvertError> {
    let refuse = |reason: &str| ConvertError::tensor(name, reason);
    for (mark, kind) in [
        ("lora_magnitude", "DoRA"),
        ("lora_embedding", "a LoRA on the embedding"),
        ("modules_to_save", "a retrained module"),
    ] {
        if name.contains(mark) {
            return Err(refuse(&format!("{kind} cannot be expressed in GGUF")));
        }
    }
    let inner = name.strip_prefix("base_model.model.").unwrap_or(name);
    let (module, second) = [("lora_A", false), ("lora_B", true)]
        .into_iter()
        .find_map(|(mark, second)| {
            let module = [format!(".{mark}.weight"), format!(".{mark}.default.weight")];
            module.iter().find_map(|end| inner.strip_suffix(end.as_str())).map(|module| (module, second))
        })
        .ok_or_else(|| refuse("is no LoRA factor"))?;
    let (family, layers, matrices) = (layout.family(), layout.layers(), layout.matrices());
    let known = || matrices.iter().map(|(from, _)| *from).collect::<Vec<_>>().join(", ");
    let place = module.strip_prefix(layout.prefix()).and_then(|rest| rest.split_once('.'));
    let (layer, part) = place.ok_or_else(|| {
        refuse(&format!("does not belong to a layer of {family}; only its layers' {} are adapted here", known()))
    })?;
    let part = matrices.iter().find(|(from, _)| *from == part);
    let (_, to) =
        part.ok_or_else(|| refuse(&format!("is on a module that {family} does not have; it has {}", known())))?;
    match layer.parse() {
        Ok(layer) if layer < layers => Ok((layer, to, second)),
        _ => Err(refuse(&format!("is on a layer that the base, with {layers} layers, does not have"))),
    }
}

const MAX_CONFIG: u64 = 1 << 20;
const MAX_RANK: u64 = 4096;

#[derive(Debug)]
pub(crate) struct PeftConfig {
    rank: u64,
    /// Scaled so that alpha ÷ rank is what the adapter was trained with.
    alpha: f32,
}

impl PeftConfig {
    fn read(folder: &Path) -> Result<Self, ConvertError> {
        let path = folder.join("adapter_config.json");
        Self::parse(&read_text(&path, MAX_CONFIG)?, &Blame::new("config of an adapter", &path))
    }

    pub(crate) fn parse(text: &str, blame: &Blame) -> Result<Self, ConvertError> {
        let config: Value = serde_json::from_str(text).map_err(|error| blame.error(error.to_string()))?;
        let kind = config["peft_type"].as_str().unwrap_or("(none)");
        if kind != "LORA" {
            return Err(blame.error(format!("its kind is `{}`; only LORA is converted", shorten(kind))));
        }
        refuse_variants(&config, blame)?;
        let rank = config["r"].as_u64().filter(|rank| (1..=MAX_RANK).contains(rank));
        let rank = rank.ok_or_else(|| blame.error(format!("`r` is no number from 1 to {MAX_RANK}")))?;
        let alpha = config["lora_alpha"].as_f64().filter(|alpha| alpha.is_finite() && *alpha > 0.0);
        let alpha = alpha.ok_or_else(|| blame.error("`lora_alpha` is no positive number"))?;
        // llama.cpp scales by alpha ÷ r; rsLoRA was trained with alpha ÷ √r.
        let stabilised = config["use_rslora"].as_bool() == Some(true);
        let alpha = if stabilised { alpha * (rank as f64).sqrt() } else { alpha };
        Ok(Self { rank, alpha: alpha as f32 })
    }
}

/// Ways to begin an adapter that leave the base's weights alone. Others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) take out of these what
/// they begin it with.
const FAITHFUL: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// Variants that GGUF's plain `alpha/r · B·A` would get wrong without a word.
fn refuse_variants(config: &Value, blame: &Blame) -> Result<(), ConvertError> {
    let is_set = |key: &str| match &config[key] {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    const VARIANTS: [(&str, &str); 13] = [
        ("use_dora", "DoRA"),
        ("use_qalora", "QA-LoRA"),
        ("use_bdlora", "block-diagonal LoRA"),
        ("rank_pattern", "a rank of its own for some modules"),
        ("alpha_pattern", "an alpha of its own for some modules"),
        ("modules_to_save", "modules retrained as a whole"),
        ("lora_bias", "trained LoRA biases"),
        ("fan_in_fan_out", "transposed weights"),
        ("layer_replication", "replicated layers"),
        ("target_parameters", "adapted bare parameters"),
        ("trainable_token_indices", "retrained token embeddings"),
        ("alora_invocation_tokens", "activated LoRA"),
        ("arrow_config", "routed LoRAs"),
    ];
    for (key, meaning) in VARIANTS {
        if is_set(key) {
            return Err(blame.error(format!(
                "`{key}` is set ({meaning}), which GGUF cannot express; merge the adapter into its base with PEFT \
                 (`merge_and_unload`) and convert the result"
            )));
        }
    }
    match &config["init_lora_weights"] {
        Value::Null | Value::Bool(_) => {}
        Value::String(kind) if FAITHFUL.contains(&kind.as_str()) => {}
        other => {
            let kind = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            return Err(blame.error(format!(
                "`init_lora_weights` is `{}`: the adapter is right only over the weights that PEFT changed for it, which are not its \
                 base's any more; save it with `path_initial_model_for_weight_conversion`, or merge it into those weights with PEFT \
                 (`merge_and_unload`), and convert the result",
                shorten(&kind)
            )));
        }
    }
    match config["bias"].as_str() {
        None | Some("none") => Ok(()),
        Some(other) => {
            Err(blame.error(format!("`bias` is `{}`: trained biases cannot be expressed in GGUF", shorten(other))))
        }
    }
}
