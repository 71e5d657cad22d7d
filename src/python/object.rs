//! Python objects as owned references with safe operations.
//!
//! Used where applications run. Every operation takes an `Attached`, and an `Object` is dropped by the thread
//! that made it, while that is attached: it is not `Send`, which `detached` and `attached` ask for. What
//! threads share holds a `Kept`.

#![allow(unsafe_code)]

use super::attach::Attached;
use super::not_send::not_send;
use super::raised::Raised;
use super::table::api;
use crate::sys::python::{PyObject, PyTypeObject};
use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::num::NonZero;
use std::ops::Deref;
use std::os::raw::c_char;
use std::ptr::{self, NonNull};
use std::slice;

/// An owned reference, of a thread that is attached.
pub struct Object(NonNull<PyObject>);

not_send!(Object);
not_send!(&Object);

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: we own the reference; the thread has made it attached, and is still, since what runs
        // detached takes none with it.
        unsafe { api().Py_DecRef(self.0.as_ptr()) }
    }
}

/// An object that threads share, for the life of the process: dropped, its reference is never given back,
/// since the thread may not be attached then.
pub struct Kept(ManuallyDrop<Object>);

// SAFETY: a shared object does nothing without an `Attached`, and is not dropped without one.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

impl Kept {
    /// Gives the reference back after all.
    pub fn release(self, _py: Attached<'_>) {
        drop(ManuallyDrop::into_inner(self.0));
    }
}

impl Deref for Kept {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.0
    }
}

pub type Result<T = Object> = std::result::Result<T, Raised>;

impl Object {
    /// Takes over a reference that CPython returned; NULL means that it raised.
    pub(super) fn from_owned(_py: Attached<'_>, pointer: *mut PyObject) -> Result {
        NonNull::new(pointer).map(Object).ok_or(Raised)
    }

    /// Makes an own reference from one that CPython lent; NULL means that it raised.
    pub(super) fn from_borrowed(py: Attached<'_>, pointer: *mut PyObject) -> Result {
        if !pointer.is_null() {
            // SAFETY: attached, and the lender keeps it alive for this call.
            unsafe { api().Py_IncRef(pointer) };
        }
        Object::from_owned(py, pointer)
    }

    pub(super) fn as_ptr(&self) -> *mut PyObject {
        self.0.as_ptr()
    }

    /// Hands the reference over, for CPython's functions that take it.
    pub(super) fn into_ptr(self) -> *mut PyObject {
        let pointer = self.0.as_ptr();
        std::mem::forget(self);
        pointer
    }

    pub fn keep(self) -> Kept {
        Kept(ManuallyDrop::new(self))
    }

    pub fn clone_ref(&self, _py: Attached<'_>) -> Object {
        // SAFETY: attached; the object is alive because we hold a reference.
        unsafe { api().Py_IncRef(self.as_ptr()) };
        Object(self.0)
    }

    pub fn none(_py: Attached<'_>) -> Object {
        let none = api()._Py_NoneStruct;
        // SAFETY: attached; None is immortal or counted, never freed.
        unsafe { api().Py_IncRef(none) };
        Object(NonNull::new(none).expect("None has an address"))
    }

    /// A `str` from UTF-8.
    pub fn text(py: Attached<'_>, text: &str) -> Result {
        // SAFETY: attached; pointer and length describe `text`.
        let made =
            unsafe { api().PyUnicode_FromStringAndSize(text.as_ptr().cast(), length(text.as_bytes())) };
        Object::from_owned(py, made)
    }

    /// A `str` with one character a byte, as PEP 3333 wants environ's values.
    pub fn latin1(py: Attached<'_>, bytes: &[u8]) -> Result {
        // SAFETY: attached; pointer and length describe `bytes`.
        let made = unsafe { api().PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), length(bytes), ptr::null()) };
        Object::from_owned(py, made)
    }

    /// A `str` for a path, in the filesystem encoding with surrogateescape.
    pub fn filesystem(py: Attached<'_>, path: &[u8]) -> Result {
        // SAFETY: attached; pointer and length describe `path`.
        let made = unsafe { api().PyUnicode_DecodeFSDefaultAndSize(path.as_ptr().cast(), length(path)) };
        Object::from_owned(py, made)
    }

    /// A Latin-1 `str` that is shared by all who ask for the same text.
    pub fn interned(py: Attached<'_>, bytes: &[u8]) -> Result {
        let mut pointer = Object::latin1(py, bytes)?.into_ptr();
        // SAFETY: attached; takes over our reference and gives one back in the same variable.
        unsafe { api().PyUnicode_InternInPlace(&mut pointer) };
        Object::from_owned(py, pointer)
    }

    pub fn bytes(py: Attached<'_>, bytes: &[u8]) -> Result {
        // SAFETY: attached; pointer and length describe `bytes`, which CPython copies.
        let made = unsafe { api().PyBytes_FromStringAndSize(bytes.as_ptr().cast(), length(bytes)) };
        Object::from_owned(py, made)
    }

    pub fn int(py: Attached<'_>, value: i64) -> Result {
        // SAFETY: attached.
        Object::from_owned(py, unsafe { api().PyLong_FromLongLong(value) })
    }

    pub fn float(py: Attached<'_>, value: f64) -> Result {
        // SAFETY: attached.
        Object::from_owned(py, unsafe { api().PyFloat_FromDouble(value) })
    }

    pub fn bool(py: Attached<'_>, value: bool) -> Result {
        // SAFETY: attached.
        Object::from_owned(py, unsafe { api().PyBool_FromLong(value.into()) })
    }

    pub fn dict(py: Attached<'_>) -> Result {
        // SAFETY: attached.
        Object::from_owned(py, unsafe { api().PyDict_New() })
    }

    pub fn list(py: Attached<'_>, items: &[Object]) -> Result {
        // SAFETY: attached.
        let list = Object::from_owned(py, unsafe { api().PyList_New(0) })?;
        for item in items {
            // SAFETY: attached; both are live, the list takes a reference of its own.
            check(unsafe { api().PyList_Append(list.as_ptr(), item.as_ptr()) })?;
        }
        Ok(list)
    }

    pub fn tuple<const N: usize>(py: Attached<'_>, items: [Object; N]) -> Result {
        // SAFETY: attached.
        let tuple = Object::from_owned(py, unsafe { api().PyTuple_New(N as isize) })?;
        for (index, item) in items.into_iter().enumerate() {
            // SAFETY: attached; the tuple is new and ours alone, and takes over the reference.
            check(unsafe { api().PyTuple_SetItem(tuple.as_ptr(), index as isize, item.into_ptr()) })?;
        }
        Ok(tuple)
    }

    pub fn is_none(&self, _py: Attached<'_>) -> bool {
        ptr::eq(self.as_ptr(), api()._Py_NoneStruct)
    }

    pub fn is_bytes(&self, py: Attached<'_>) -> bool {
        self.is_instance(py, api().PyBytes_Type)
    }

    pub fn is_str(&self, py: Attached<'_>) -> bool {
        self.is_instance(py, api().PyUnicode_Type)
    }

    pub fn is_list(&self, py: Attached<'_>) -> bool {
        self.is_instance(py, api().PyList_Type)
    }

    pub fn is_tuple(&self, py: Attached<'_>) -> bool {
        self.is_instance(py, api().PyTuple_Type)
    }

    /// A list or tuple that no subclass has changed: its items may be taken one by one.
    pub fn is_plain_sequence(&self, py: Attached<'_>) -> bool {
        let class = self.class(py);
        [api().PyList_Type, api().PyTuple_Type].into_iter().any(|plain| ptr::eq(class.as_ptr().cast(), plain))
    }

    /// Whether the object is an instance of BaseException.
    pub fn is_exception(&self, py: Attached<'_>) -> bool {
        // SAFETY: CPython sets the variable before it runs any code and never again.
        self.is_instance(py, unsafe { *api().PyExc_BaseException }.cast())
    }

    /// By the object's real class: what it says in `__class__` may be another's.
    fn is_instance(&self, py: Attached<'_>, class: *mut PyTypeObject) -> bool {
        let own = self.class(py);
        // SAFETY: attached; both are types.
        ptr::eq(own.as_ptr().cast(), class)
            || unsafe { api().PyType_IsSubtype(own.as_ptr().cast(), class) != 0 }
    }

    fn class(&self, py: Attached<'_>) -> Object {
        // SAFETY: attached; every object has a type.
        Object::from_owned(py, unsafe { api().PyObject_Type(self.as_ptr()) })
            .expect("every object has a type")
    }

    /// Raises this exception.
    pub fn raise(&self, py: Attached<'_>) -> Raised {
        // SAFETY: attached; both are live, and the class is the exception's own.
        unsafe { api().PyErr_SetObject(self.class(py).as_ptr(), self.as_ptr()) };
        Raised
    }

    /// Whether the object is an instance of a class.
    pub fn is_of(&self, py: Attached<'_>, class: &Object) -> bool {
        self.is_instance(py, class.as_ptr().cast())
    }

    /// Whether this is the very same object.
    pub fn is(&self, other: &Object) -> bool {
        self.0 == other.0
    }

    /// Its truth, as `if` has it.
    pub fn is_true(&self, _py: Attached<'_>) -> Result<bool> {
        // SAFETY: attached; -1 means that it raised.
        let truth = unsafe { api().PyObject_IsTrue(self.as_ptr()) };
        check(truth).map(|()| truth != 0)
    }

    pub fn is_callable(&self, _py: Attached<'_>) -> bool {
        // SAFETY: attached.
        unsafe { api().PyCallable_Check(self.as_ptr()) != 0 }
    }

    pub fn attribute(&self, py: Attached<'_>, name: &CStr) -> Result {
        // SAFETY: attached; the name is a C string.
        Object::from_owned(py, unsafe { api().PyObject_GetAttrString(self.as_ptr(), name.as_ptr()) })
    }

    /// An attribute that may be missing.
    pub fn optional_attribute(&self, py: Attached<'_>, name: &Object) -> Option<Object> {
        // SAFETY: attached; both are live.
        let found = Object::from_owned(py, unsafe { api().PyObject_GetAttr(self.as_ptr(), name.as_ptr()) });
        if found.is_err() {
            // SAFETY: attached.
            unsafe { api().PyErr_Clear() };
        }
        found.ok()
    }

    pub fn set_attribute(&self, _py: Attached<'_>, name: &CStr, value: &Object) -> Result<()> {
        // SAFETY: attached; the name is a C string, the value live.
        check(unsafe { api().PyObject_SetAttrString(self.as_ptr(), name.as_ptr(), value.as_ptr()) })
    }

    pub fn call<const N: usize>(&self, py: Attached<'_>, arguments: [Object; N]) -> Result {
        let tuple = Object::tuple(py, arguments)?;
        // SAFETY: attached; the arguments are a live tuple.
        Object::from_owned(py, unsafe { api().PyObject_CallObject(self.as_ptr(), tuple.as_ptr()) })
    }

    pub fn iter(&self, py: Attached<'_>) -> Result {
        // SAFETY: attached.
        Object::from_owned(py, unsafe { api().PyObject_GetIter(self.as_ptr()) })
    }

    /// The next item of an iterator; None at its end.
    pub fn next(&self, py: Attached<'_>) -> Result<Option<Object>> {
        // SAFETY: attached; `iter` gave this object, so it is an iterator.
        let item = unsafe { api().PyIter_Next(self.as_ptr()) };
        // SAFETY: attached; the indicator is lent, only compared with NULL.
        if item.is_null() && unsafe { api().PyErr_Occurred() }.is_null() {
            return Ok(None);
        }
        Object::from_owned(py, item).map(Some)
    }

    /// A capsule: an address for C extensions, under a name.
    pub fn capsule(py: Attached<'_>, address: NonZero<usize>, name: &'static CStr) -> Result {
        let pointer = ptr::with_exposed_provenance_mut(address.get());
        // SAFETY: attached; the address is not used here; the name lives for ever.
        Object::from_owned(py, unsafe { api().PyCapsule_New(pointer, name.as_ptr(), None) })
    }

    /// `len(self)`.
    pub fn length(&self, _py: Attached<'_>) -> Result<usize> {
        // SAFETY: attached; an object without length raises.
        usize::try_from(unsafe { api().PyObject_Size(self.as_ptr()) }).map_err(|_| Raised)
    }

    /// An item of a list or tuple.
    pub fn sequence_item(&self, py: Attached<'_>, index: usize) -> Result {
        // SAFETY: attached; a wrong type, or an index out of range, raises.
        Object::from_owned(py, unsafe { api().PySequence_GetItem(self.as_ptr(), index as isize) })
    }

    /// A copy of a dictionary.
    pub fn dict_copy(&self, py: Attached<'_>) -> Result {
        // SAFETY: attached; a wrong type raises.
        Object::from_owned(py, unsafe { api().PyDict_Copy(self.as_ptr()) })
    }

    pub fn dict_set(&self, _py: Attached<'_>, key: &Object, value: &Object) -> Result<()> {
        // SAFETY: attached; a wrong type raises; the dictionary takes references of its own.
        check(unsafe { api().PyDict_SetItem(self.as_ptr(), key.as_ptr(), value.as_ptr()) })
    }

    /// An entry of a dictionary, or None.
    pub fn dict_get(&self, py: Attached<'_>, key: &CStr) -> Option<Object> {
        // SAFETY: attached; the name is a C string; a missing key gives NULL without raising.
        let found = unsafe { api().PyDict_GetItemString(self.as_ptr(), key.as_ptr()) };
        Object::from_borrowed(py, found).ok()
    }

    /// The contents of a `bytes` object; any other type raises TypeError.
    pub fn as_bytes(&self, _py: Attached<'_>) -> Result<&[u8]> {
        let mut data: *mut c_char = ptr::null_mut();
        let mut size = 0;
        // SAFETY: attached; both variables are written on success.
        check(unsafe { api().PyBytes_AsStringAndSize(self.as_ptr(), &mut data, &mut size) })?;
        // SAFETY: a bytes object never changes, and lives as long as our reference.
        Ok(unsafe { slice::from_raw_parts(data.cast(), usize::try_from(size).unwrap_or(0)) })
    }

    /// The characters of a `str` that has only those of ASCII.
    pub fn as_ascii(&self, _py: Attached<'_>) -> Option<&[u8]> {
        let mut size = 0;
        // SAFETY: attached; a wrong type, or what UTF-8 cannot say, raises.
        let data = unsafe { api().PyUnicode_AsUTF8AndSize(self.as_ptr(), &mut size) };
        if data.is_null() {
            // SAFETY: attached.
            unsafe { api().PyErr_Clear() };
            return None;
        }
        // SAFETY: the text stays where it is for as long as the `str`, which lives as long as our reference.
        let text = unsafe { slice::from_raw_parts(data.cast::<u8>(), usize::try_from(size).unwrap_or(0)) };
        text.is_ascii().then_some(text)
    }

    /// The `bytes` of a `str` in Latin-1; other characters raise UnicodeEncodeError.
    pub fn to_latin1(&self, py: Attached<'_>) -> Result {
        // SAFETY: attached; a wrong type raises.
        Object::from_owned(py, unsafe { api().PyUnicode_AsLatin1String(self.as_ptr()) })
    }

    /// The text of a `str`; what UTF-8 cannot say is escaped.
    pub fn to_text(&self, py: Attached<'_>) -> Result<String> {
        let (encoding, errors) = (c"utf-8", c"backslashreplace");
        // SAFETY: attached; both names are C strings; a wrong type raises.
        let encoded =
            unsafe { api().PyUnicode_AsEncodedString(self.as_ptr(), encoding.as_ptr(), errors.as_ptr()) };
        let encoded = Object::from_owned(py, encoded)?;
        Ok(String::from_utf8_lossy(encoded.as_bytes(py)?).into_owned())
    }

    /// `str(self)`.
    pub fn display(&self, py: Attached<'_>) -> Result<String> {
        // SAFETY: attached.
        Object::from_owned(py, unsafe { api().PyObject_Str(self.as_ptr()) })?.to_text(py)
    }

    /// The same for messages: where that raises, the name of the class.
    pub fn shown(&self, py: Attached<'_>) -> String {
        self.display(py).unwrap_or_else(|_raised| {
            // SAFETY: attached.
            unsafe { api().PyErr_Clear() };
            self.class_name(py)
        })
    }

    /// `repr(self)`.
    pub fn repr(&self, py: Attached<'_>) -> Result<String> {
        // SAFETY: attached.
        Object::from_owned(py, unsafe { api().PyObject_Repr(self.as_ptr()) })?.to_text(py)
    }

    /// The name of the object's class.
    pub fn class_name(&self, py: Attached<'_>) -> String {
        let name = self.class(py).attribute(py, c"__name__").and_then(|name| name.to_text(py));
        name.unwrap_or_else(|Raised| {
            // SAFETY: attached.
            unsafe { api().PyErr_Clear() };
            "object".into()
        })
    }

    /// An integer for use as a size (`__index__`); beyond the range it is cut.
    pub fn to_index(&self, _py: Attached<'_>) -> Result<isize> {
        // SAFETY: attached; a wrong type raises, NULL means that an overflow is clipped.
        let value = unsafe { api().PyNumber_AsSsize_t(self.as_ptr(), ptr::null_mut()) };
        // SAFETY: attached; the indicator is lent, only compared with NULL.
        if value == -1 && !unsafe { api().PyErr_Occurred() }.is_null() {
            return Err(Raised);
        }
        Ok(value)
    }

    pub fn to_f64(&self, _py: Attached<'_>) -> Result<f64> {
        // SAFETY: attached.
        let number = unsafe { api().PyFloat_AsDouble(self.as_ptr()) };
        // SAFETY: attached; -1 may be the number, or mean that it raised. The indicator is lent.
        if number == -1.0 && !unsafe { api().PyErr_Occurred() }.is_null() {
            return Err(Raised);
        }
        Ok(number)
    }

    pub fn to_i64(&self, _py: Attached<'_>) -> Result<i64> {
        // SAFETY: attached; a wrong type raises.
        let value = unsafe { api().PyLong_AsLongLong(self.as_ptr()) };
        // SAFETY: attached; the indicator is lent, only compared with NULL.
        if value == -1 && !unsafe { api().PyErr_Occurred() }.is_null() {
            return Err(Raised);
        }
        Ok(value)
    }

    /// Executes Python source as the body of a module with these globals.
    pub fn execute(py: Attached<'_>, source: &CStr, file: &CStr, globals: &Object) -> Result<()> {
        let mode = crate::sys::python::Py_file_input;
        // SAFETY: attached; both are C strings.
        let code = unsafe { api().Py_CompileString(source.as_ptr(), file.as_ptr(), mode) };
        let code = Object::from_owned(py, code)?;
        // SAFETY: attached; lent, and kept alive by the interpreter.
        let builtins = Object::from_borrowed(py, unsafe { api().PyEval_GetBuiltins() })?;
        globals.dict_set(py, &Object::text(py, "__builtins__")?, &builtins)?;
        // SAFETY: attached; the globals are a live dictionary.
        let value = unsafe { api().PyEval_EvalCode(code.as_ptr(), globals.as_ptr(), globals.as_ptr()) };
        Object::from_owned(py, value).map(drop)
    }
}

pub(super) fn check(status: i32) -> Result<()> {
    if status < 0 { Err(Raised) } else { Ok(()) }
}

fn length(bytes: &[u8]) -> isize {
    isize::try_from(bytes.len()).expect("a slice is never longer than isize::MAX")
}
