//! How many of a context's threads compute: all, or one. llama-cpp-2 cannot change that in a living context; OpenMP can.

use std::ffi::c_int;
use std::sync::OnceLock;

// SAFETY: to call one, it must come from OpenMP's library; `find` gives no other.
type SetMaxActiveLevels = unsafe extern "C" fn(c_int);

/// Lets this thread's next computations use all the threads of their context, or only this thread. Without OpenMP's library
/// in the process, nothing changes.
///
/// With no active level allowed, a parallel region is its own thread alone (OpenMP 5.2, §2.4 max-active-levels-var and
/// §10.1.1); ggml takes as many threads as the region has.
pub fn use_all_threads(all: bool) {
    if let Some(set) = available() {
        // SAFETY: the function takes any number, and sets a variable of this thread's own.
        unsafe { set(c_int::from(all)) };
    }
}

/// Whether [`use_all_threads`] can do anything.
pub fn can_change() -> bool {
    available().is_some()
}

fn available() -> Option<SetMaxActiveLevels> {
    static FOUND: OnceLock<Option<SetMaxActiveLevels>> = OnceLock::new();
    *FOUND.get_or_init(find)
}

/// The function of the library that is in the process already: linked, or brought by a backend that was loaded.
#[cfg(target_os = "linux")]
fn find() -> Option<SetMaxActiveLevels> {
    // SAFETY: names end in NUL; RTLD_NOLOAD runs no initialiser; the library is never closed by us.
    unsafe {
        let library = libc::dlopen(c"libgomp.so.1".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        if library.is_null() {
            return None;
        }
        let function = libc::dlsym(library, c"omp_set_max_active_levels".as_ptr());
        // SAFETY: OpenMP declares it as `void omp_set_max_active_levels(int)`.
        (!function.is_null()).then(|| std::mem::transmute::<*mut libc::c_void, SetMaxActiveLevels>(function))
    }
}

#[cfg(not(target_os = "linux"))]
fn find() -> Option<SetMaxActiveLevels> {
    None
}
