//! Generates the two tables of function pointers (httpd with APR, and CPython's limited API) and
//! compiles the shim for APR's macros.
//!
//! The headers are asked for, never guessed: `apxs -q` for httpd (`APXS` names another one) and the
//! interpreter's own `sysconfig` for Python (`PYTHON` names another one). Nothing is linked: both
//! libraries are reached at run time, so one build serves any httpd 2.4 and any CPython from 3.9.

use std::env;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const HTTPD_HEADER: &str = "src/sys/httpd.h";
const PYTHON_HEADER: &str = "src/sys/python.h";
const SHIM: &str = "src/sys/shim.c";

fn main() {
    for input in [HTTPD_HEADER, PYTHON_HEADER, SHIM] {
        println!("cargo::rerun-if-changed={input}");
    }
    for variable in ["APXS", "PYTHON"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    // httpd closes and reopens every module on a restart; threads and retained data of ours point
    // into the library, so it stays mapped.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // By which a daemon knows that it has loaded what httpd has.
    println!("cargo::rustc-cdylib-link-arg=-Wl,--build-id=sha1");

    let httpd = httpd_include_arguments();
    let python = python_include_arguments();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    httpd_table(&httpd, &out);
    python_table(&python, &out);

    let mut shim = cc::Build::new();
    for argument in &httpd {
        shim.flag(argument);
    }
    shim.file(SHIM).compile("wsgi_shim");
}

fn httpd_table(include: &[String], out: &Path) {
    let builder = table(HTTPD_HEADER, "Httpd", include)
        .allowlist_file(".*/src/sys/httpd\\.h")
        .allowlist_function(HTTPD_FUNCTIONS.join("|"))
        .allowlist_var(HTTPD_VARIABLES.join("|"))
        .allowlist_type(HTTPD_TYPES.join("|"));
    write(builder, &out.join("httpd_table.rs"));
}

fn python_table(include: &[String], out: &Path) {
    let builder = table(PYTHON_HEADER, "Python", include)
        .allowlist_function(PYTHON_FUNCTIONS.join("|"))
        .allowlist_var(PYTHON_VARIABLES.join("|"))
        .allowlist_type("PyType_Spec|PyType_Slot|PyMethodDef|PyModuleDef_Slot")
        .opaque_type("_object|PyObject|PyTypeObject|_typeobject");
    write(builder, &out.join("python_table.rs"));
}

fn table(header: &str, name: &str, include: &[String]) -> bindgen::Builder {
    bindgen::Builder::default()
        .header(header)
        .clang_args(include)
        .dynamic_library_name(name)
        .dynamic_link_require_all(true)
        .layout_tests(false)
        .generate_comments(false)
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
}

/// bindgen panics when libclang cannot be loaded, and returns an error when a header is wrong.
fn write(builder: bindgen::Builder, path: &Path) {
    std::panic::set_hook(Box::new(|_| {}));
    let bindings = std::panic::catch_unwind(AssertUnwindSafe(|| builder.generate()));
    drop(std::panic::take_hook());
    match bindings {
        Ok(Ok(bindings)) => bindings.write_to_file(path).expect("OUT_DIR is writable"),
        Ok(Err(error)) => fail(&format!("the C headers could not be read: {error}")),
        Err(_) => fail(
            "libclang, which reads the C headers, could not be loaded. Install it: \
             'apt-get install libclang-dev' on Debian and Ubuntu, 'dnf install clang-devel' on Fedora.",
        ),
    }
}

fn httpd_include_arguments() -> Vec<String> {
    let candidates = match env::var("APXS") {
        Ok(apxs) => vec![apxs],
        Err(_) => ["apxs", "apxs2", "/usr/bin/apxs", "/usr/sbin/apxs"].map(String::from).to_vec(),
    };
    let Some(apxs) = candidates.iter().find(|apxs| query(apxs, "INCLUDEDIR").is_some()) else {
        fail(
            "apxs, which knows where httpd's headers are, was not found (the environment variable APXS \
             can name it). Install it: 'apt-get install apache2-dev' on Debian and Ubuntu, \
             'dnf install httpd-devel apr-devel apr-util-devel' on Fedora.",
        );
    };
    let httpd = query(apxs, "INCLUDEDIR").unwrap_or_default();
    require(&httpd, "httpd.h", "apache2-dev", "httpd-devel");
    let apr = query(apxs, "APR_INCLUDEDIR").unwrap_or_default();
    require(&apr, "apr.h", "libapr1-dev", "apr-devel");
    let apr_util = query(apxs, "APU_INCLUDEDIR").unwrap_or_default();
    let mut arguments: Vec<String> =
        [httpd, apr, apr_util].into_iter().map(|directory| format!("-I{directory}")).collect();
    let flags = query(apxs, "EXTRA_CPPFLAGS").unwrap_or_default();
    arguments.extend(flags.split_whitespace().map(String::from));
    arguments
}

fn python_include_arguments() -> Vec<String> {
    let python = env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let script = "import sysconfig; print(sysconfig.get_paths()['include'])";
    let Some(include) = output(Command::new(&python).args(["-c", script])) else {
        fail(&format!(
            "'{python}' could not be run to find Python's headers (the environment variable PYTHON can \
             name another interpreter). Install it: 'apt-get install python3-dev' on Debian and Ubuntu, \
             'dnf install python3-devel' on Fedora."
        ));
    };
    require(&include, "Python.h", "python3-dev", "python3-devel");
    vec![format!("-I{include}")]
}

fn require(directory: &str, header: &str, debian: &str, fedora: &str) {
    if !Path::new(directory).join(header).is_file() {
        fail(&format!(
            "the header {header} is not in '{directory}'. Install it: 'apt-get install {debian}' on \
             Debian and Ubuntu, 'dnf install {fedora}' on Fedora."
        ));
    }
}

fn query(apxs: &str, name: &str) -> Option<String> {
    output(Command::new(apxs).args(["-q", name]))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1);
}

const HTTPD_TYPES: &[&str] = &[
    "module",
    "request_rec",
    "server_rec",
    "conn_rec",
    "command_rec",
    "cmd_parms",
    "ap_directive_t",
    "apr_bucket.*",
    "apr_table_t",
    "apr_array_header_t",
    "apr_table_entry_t",
    "apr_proc_t",
    "core_dir_config",
    "ap_bucket_error",
    "unixd_config_rec",
    "ap_regmatch_t",
    "worker_score",
    "process_score",
    "global_score",
    "authn_.*",
    "authz_.*",
];

const HTTPD_VARIABLES: &[&str] = &[
    "ap_server_conf",
    "core_module",
    "ap_unixd_config",
    "apr_bucket_type_eos",
    "MODULE_MAGIC_COOKIE",
    "MODULE_MAGIC_NUMBER_MAJOR",
    "OK",
    "DECLINED",
    "RSRC_CONF",
    "ACCESS_CONF",
    "OR_.*",
    "APR_HOOK_.*",
    "APLOG_.*",
    "HTTP_[A-Z_]*",
    "M_.*",
    "AP_MPMQ_.*",
    "AP_SQ_.*",
    "SERVER_.*",
    "AP_REG_.*",
    "REQUEST_.*",
    "OPT_.*",
    "APR_OC_REASON_.*",
    "NOT_IN_.*",
    "AP_REQ_.*",
    "AP_CORE_MODULE_INDEX",
    "ap_conftree",
    "AP_CGI_PASS_AUTH_.*",
    "ap_bucket_type_error",
    "APR_FOPEN_.*",
    "AUTHN_PROVIDER_.*",
    "AUTHZ_PROVIDER_.*",
    "AP_AUTH_INTERNAL_PER_CONF",
    "AP_AUTH_INTERNAL_PER_URI",
    "REMOTE_NAME",
];

const HTTPD_FUNCTIONS: &[&str] = &[
    "ap_log_error_",
    "ap_log_rerror_",
    "ap_get_request_module_loglevel",
    "ap_hook_check_config",
    "ap_hook_post_config",
    "ap_hook_test_config",
    "ap_exists_config_define",
    "apr_file_open_stdout",
    "apr_file_write_full",
    "ap_hook_pre_mpm",
    "ap_hook_child_init",
    "ap_hook_monitor",
    "ap_hook_translate_name",
    "ap_hook_handler",
    "ap_hook_check_access",
    "ap_register_auth_provider",
    "ap_get_useragent_host",
    "ap_psignature",
    "apr_md5_encode",
    "apr_generate_random_bytes",
    "ap_state_query",
    "ap_walk_config",
    "ap_mpm_query",
    "ap_server_root_relative",
    "ap_runtime_dir_relative",
    "ap_check_cmd_context",
    "ap_pregcomp",
    "ap_regexec",
    "ap_get_server_name_for_url",
    "ap_get_server_port",
    "ap_get_server_revision",
    "ap_get_server_banner",
    "ap_get_server_built",
    "ap_get_server_description",
    "ap_show_mpm",
    "ap_run_http_scheme",
    "ap_run_generate_log_id",
    "ap_get_limit_req_body",
    "ap_internal_redirect",
    "apr_table_unset",
    "ap_get_conn_socket",
    "ap_allow_options",
    "ap_auth_type",
    "ap_document_root",
    "ap_context_prefix",
    "ap_context_document_root",
    "ap_setup_client_block",
    "ap_get_brigade",
    "ap_pass_brigade",
    "ap_set_content_type",
    "ap_set_content_length",
    "ap_bucket_error_create",
    "ap_map_http_request_error",
    "ap_find_path_info",
    "ap_close_listeners",
    "ap_exists_scoreboard_image",
    "ap_get_scoreboard_worker_from_indexes",
    "ap_get_scoreboard_process",
    "ap_get_scoreboard_global",
    "apr_brigade_create",
    "apr_bucket_file_create",
    "apr_bucket_file_enable_mmap",
    "apr_bucket_file_set_buf_size",
    "apr_os_file_put",
    "apr_os_sock_get",
    "apr_file_dup",
    "apr_temp_dir_get",
    "apr_brigade_cleanup",
    "apr_bucket_eos_create",
    "apr_bucket_flush_create",
    "apr_bucket_transient_create",
    "apr_dynamic_fn_retrieve",
    "apr_pstrmemdup",
    "apr_pool_cleanup_register",
    "apr_pool_cleanup_null",
    "apr_pool_userdata_get",
    "apr_pool_userdata_set",
    "apr_proc_other_child_register",
    "apr_proc_other_child_unregister",
    "apr_socket_timeout_get",
    "apr_socket_timeout_set",
    "apr_strerror",
    "apr_table_get",
    "apr_table_setn",
    "apr_table_addn",
    "apr_table_elts",
];

const PYTHON_VARIABLES: &[&str] = &[
    "Py_tp_dealloc",
    "Py_tp_free",
    "Py_tp_methods",
    "Py_tp_new",
    "Py_tp_call",
    "Py_tp_iter",
    "Py_tp_iternext",
    "METH_.*",
    "Py_file_input",
    "_Py_NoneStruct",
    "PyBaseObject_Type",
    "PyBytes_Type",
    "PyUnicode_Type",
    "PyList_Type",
    "PyTuple_Type",
    "PyExc_AssertionError",
    "PyExc_BaseException",
    "PyExc_OSError",
    "PyExc_RuntimeError",
    "PyExc_SystemExit",
    "PyExc_TypeError",
    "PyExc_ValueError",
];

const PYTHON_FUNCTIONS: &[&str] = &[
    "Py_IncRef",
    "Py_DecRef",
    "Py_GetVersion",
    "Py_CompileString",
    "Py_NewInterpreter",
    "PyBool_FromLong",
    "PyBytes_AsStringAndSize",
    "PyBytes_FromStringAndSize",
    "PyCallable_Check",
    "PyCapsule_New",
    "PyDict_Copy",
    "PyDict_GetItemString",
    "PyDict_New",
    "PyDict_SetItem",
    "PyErr_Clear",
    "PyErr_Fetch",
    "PyErr_GivenExceptionMatches",
    "PyErr_NormalizeException",
    "PyErr_Occurred",
    "PyErr_Restore",
    "PyErr_SetObject",
    "PyEval_EvalCode",
    "PyEval_GetBuiltins",
    "PyEval_RestoreThread",
    "PyEval_SaveThread",
    "PyFloat_AsDouble",
    "PyFloat_FromDouble",
    "PyInterpreterState_Get",
    "PyIter_Next",
    "PyList_Append",
    "PyList_New",
    "PyLong_AsLongLong",
    "PyLong_FromLongLong",
    "PyModuleDef_Init",
    "PyNumber_AsSsize_t",
    "PyObject_CallObject",
    "PyObject_GetAttr",
    "PyObject_GetAttrString",
    "PyObject_GetIter",
    "PyObject_IsTrue",
    "PyObject_Repr",
    "PyObject_SetAttrString",
    "PyObject_Size",
    "PyObject_Str",
    "PyObject_Type",
    "PySequence_GetItem",
    "PyThreadState_Clear",
    "PyThreadState_Delete",
    "PyThreadState_Get",
    "PyThreadState_New",
    "PyThreadState_SetAsyncExc",
    "PyThread_get_thread_ident",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyType_FromSpec",
    "PyType_GenericAlloc",
    "PyType_GetSlot",
    "PyType_IsSubtype",
    "PyUnicode_AsEncodedString",
    "PyUnicode_AsLatin1String",
    "PyUnicode_AsUTF8AndSize",
    "PyUnicode_DecodeFSDefaultAndSize",
    "PyUnicode_DecodeLatin1",
    "PyUnicode_FromStringAndSize",
    "PyUnicode_InternInPlace",
];
