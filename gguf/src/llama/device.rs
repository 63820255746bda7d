//! The GPUs that llama.cpp sees.

use llama_cpp_2::LlamaBackendDeviceType as Kind;
use llama_cpp_2::{LlamaBackendDevice, list_llama_ggml_backend_devices};

use super::{StartError, library};
use crate::request::EngineConfig;

/// The GPUs, by llama.cpp's own listing.
///
/// # Errors
/// [`StartError::Llama`] where the library cannot be initialised.
pub fn gpus() -> Result<Vec<LlamaBackendDevice>, StartError> {
    // Backends that are libraries of their own are loaded with it.
    library()?;
    let devices = list_llama_ggml_backend_devices().into_iter();
    Ok(devices.filter(|device| matches!(device.device_type, Kind::Gpu | Kind::IntegratedGpu)).collect())
}

/// The same set-up on the processor where there is no GPU for its layers. llama.cpp would compute there without a word, in the shapes and
/// with the copies that are cheap on a GPU only.
///
/// # Errors
/// As [`gpus`].
pub(super) fn with_devices(config: &EngineConfig) -> Result<EngineConfig, StartError> {
    if config.gpu_layers == 0 {
        return Ok(config.clone());
    }
    let gpus = gpus()?;
    if gpus.is_empty() {
        tracing::warn!(
            gpu_layers = config.gpu_layers,
            "no GPU is seen, so the processor computes everything: a container needs --gpus all, a machine the NVIDIA driver, \
             the program its CUDA build; model.gpu_layers = 0 ends this warning"
        );
        return Ok(EngineConfig { gpu_layers: 0, ..config.clone() });
    }
    for gpu in gpus {
        let (free, of) = (gpu.memory_free >> 20, gpu.memory_total >> 20);
        tracing::info!(name = gpu.description, free_mib = free, of_mib = of, "computing on a GPU");
    }
    Ok(config.clone())
}

/// What the GPUs are called, for what depends on them; empty where none computes.
pub(super) fn names(config: &EngineConfig) -> String {
    let gpus = if config.gpu_layers == 0 { Vec::new() } else { gpus().unwrap_or_default() };
    gpus.into_iter().map(|gpu| gpu.description).collect::<Vec<_>>().join(" + ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn where_no_gpu_is_seen_the_processor_computes_with_its_own_shapes() {
        if !gpus().unwrap().is_empty() {
            return;
        }
        let asked = EngineConfig { gpu_layers: 999, ..EngineConfig::for_model(Path::new("any.gguf")) };
        assert_eq!(with_devices(&asked).unwrap().gpu_layers, 0);
    }
}
