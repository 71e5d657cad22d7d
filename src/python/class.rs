//! Our own Python types: a heap type per `Native`, and the one door through which CPython calls us.
//!
//! Runs where applications run, for the types of `wsgi` and `interpreter`. An instance is CPython's object
//! header followed by one pointer to the boxed Rust value. The header's size is asked for at run time
//! (`object.__basicsize__`): it is larger on free-threaded builds. Every call from C goes through a
//! trampoline below: it finds the value, catches panics, and turns `Raised` into NULL.

#![allow(unsafe_code)]

use super::attach::Attached;
use super::error::{Exc, raise};
use super::object::{self, Kept, Object};
use super::raised::Raised;
use super::table::api;
pub use crate::sys::python::PyMethodDef;
use crate::sys::python::{METH_FASTCALL, Py_tp_call, Py_tp_dealloc, Py_tp_free, Py_tp_iter};
use crate::sys::python::{Py_ssize_t, PyCFunction, PyObject, PyType_Slot, PyType_Spec, PyTypeObject};
use crate::sys::python::{Py_tp_iternext, Py_tp_methods, Py_tp_new};
use once_cell::sync::OnceCell;
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{mem, ptr, slice};

/// `Py_TPFLAGS_BASETYPE`.
const MAY_BE_A_BASE: u32 = 1 << 10;

/// A Rust value that Python code can hold.
pub trait Native: Send + Sync + Sized + 'static {
    /// Module and name, as in `mod_wsgi.Input`.
    const NAME: &'static CStr;

    fn methods() -> Vec<PyMethodDef> {
        Vec::new()
    }

    /// Whether Python code may derive classes from the type, see `Class::derived`.
    const EXTENSIBLE: bool = false;

    /// Whether instances are iterators: `next` gives their items.
    const ITERATOR: bool = false;

    fn next(&self, _py: Attached<'_>) -> object::Result<Option<Object>> {
        Ok(None)
    }

    /// Whether instances can be called.
    const CALLABLE: bool = false;

    fn call(&self, py: Attached<'_>, _arguments: &Object, _named: Option<&Object>) -> object::Result {
        Err(raise(py, Exc::Type, "not callable"))
    }
}

/// The Python type of `T` in one interpreter.
pub struct Class<T: Native> {
    class: Kept,
    native: PhantomData<T>,
}

impl<T: Native> Class<T> {
    pub fn define(py: Attached<'_>) -> object::Result<Class<T>> {
        let mut methods = T::methods();
        // SAFETY: a PyMethodDef of zeros is the end of the table.
        methods.push(unsafe { mem::zeroed() });
        let methods: &'static mut [PyMethodDef] = Box::leak(methods.into_boxed_slice());
        let mut slots = vec![
            slot(Py_tp_new, refuse_new as *mut c_void),
            slot(Py_tp_dealloc, deallocate::<T> as *mut c_void),
            slot(Py_tp_methods, methods.as_mut_ptr().cast()),
        ];
        if T::ITERATOR {
            slots.push(slot(Py_tp_iter, iterate as *mut c_void));
            slots.push(slot(Py_tp_iternext, iterate_next::<T> as *mut c_void));
        }
        if T::CALLABLE {
            slots.push(slot(Py_tp_call, call::<T> as *mut c_void));
        }
        slots.push(slot(0, ptr::null_mut()));
        let size = header_size(py)? + mem::size_of::<*mut T>();
        let mut spec = PyType_Spec {
            name: T::NAME.as_ptr(),
            basicsize: i32::try_from(size).expect("an object header and a pointer are small"),
            itemsize: 0,
            flags: if T::EXTENSIBLE { MAY_BE_A_BASE } else { 0 },
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: attached; the spec is complete, its strings and method table live for ever.
        let class = Object::from_owned(py, unsafe { api().PyType_FromSpec(&mut spec) })?;
        Ok(Class { class: class.keep(), native: PhantomData })
    }

    pub fn instance(&self, py: Attached<'_>, value: T) -> object::Result {
        // SAFETY: attached; the class was made by `define` and is alive.
        let instance = unsafe { api().PyType_GenericAlloc(self.class.as_ptr().cast(), 0) };
        let instance = Object::from_owned(py, instance)?;
        let field = field::<T>(instance.as_ptr());
        // SAFETY: `define` made room for the pointer behind the header; it is ours alone until now.
        unsafe { *field = Box::into_raw(Box::new(value)) };
        Ok(instance)
    }

    /// The class that `derive`, a function in Python, derives from this one; instances are of that from now
    /// on. What such a class has for itself (a dictionary, weak references) CPython keeps behind the pointer.
    pub fn derived(self, py: Attached<'_>, derive: &Object) -> object::Result<Class<T>> {
        let class = derive.call(py, [self.class.clone_ref(py)])?;
        Ok(Class { class: class.keep(), native: PhantomData })
    }

    /// The type as Python code sees it.
    pub fn object(&self, py: Attached<'_>) -> Object {
        self.class.clone_ref(py)
    }

    /// Sets an attribute of the type itself.
    pub fn set_attribute(&self, py: Attached<'_>, name: &CStr, value: &Object) -> object::Result<()> {
        self.class.set_attribute(py, name, value)
    }
}

/// Positional arguments of a method.
pub struct Arguments<'a>(&'a [*mut PyObject]);

impl Arguments<'_> {
    pub fn get(&self, py: Attached<'_>, index: usize) -> Option<Object> {
        Object::from_borrowed(py, *self.0.get(index)?).ok()
    }

    /// An argument that may be left out or None.
    pub fn given(&self, py: Attached<'_>, index: usize) -> Option<Object> {
        self.get(py, index).filter(|object| !object.is_none(py))
    }

    pub fn expect(&self, py: Attached<'_>, least: usize, most: usize) -> object::Result<()> {
        if (least..=most).contains(&self.0.len()) {
            return Ok(());
        }
        let text = format!("expected {least} to {most} arguments, got {}", self.0.len());
        Err(raise(py, Exc::Type, &text))
    }
}

pub type MethodPointer = extern "C" fn(*mut PyObject, *const *mut PyObject, Py_ssize_t) -> *mut PyObject;

/// A row of a method table; `methods!` writes them.
pub fn method_row(name: &'static CStr, pointer: MethodPointer) -> PyMethodDef {
    // SAFETY: METH_FASTCALL promises CPython exactly this signature; the field's own type is the
    // one of METH_VARARGS, as in C.
    let function = unsafe { mem::transmute::<MethodPointer, PyCFunction>(pointer) };
    PyMethodDef { ml_name: name.as_ptr(), ml_meth: function, ml_flags: METH_FASTCALL, ml_doc: ptr::null() }
}

/// The door of every method: finds the value, catches panics.
pub fn method_call<T: Native>(
    this: *mut PyObject,
    arguments: *const *mut PyObject,
    count: Py_ssize_t,
    method: fn(&T, Attached<'_>, &Arguments<'_>) -> object::Result,
) -> *mut PyObject {
    enter(|py| {
        let count = usize::try_from(count).unwrap_or(0);
        // CPython may hand in NULL for no arguments, which no slice may have.
        let items = if count == 0 {
            &[]
        } else {
            // SAFETY: CPython passes `count` live arguments for the length of the call.
            unsafe { slice::from_raw_parts(arguments, count) }
        };
        method(value::<T>(&this), py, &Arguments(items)).map(Some)
    })
}

/// `methods!(Input { c"read" => read, … })`: the method table of a native type.
macro_rules! methods {
    ($native:ty { $($name:literal => $method:ident),* $(,)? }) => {
        vec![$({
            extern "C" fn $method(
                this: *mut $crate::sys::python::PyObject,
                arguments: *const *mut $crate::sys::python::PyObject,
                count: $crate::sys::python::Py_ssize_t,
            ) -> *mut $crate::sys::python::PyObject {
                $crate::python::class::method_call::<$native>(this, arguments, count, <$native>::$method)
            }
            $crate::python::class::method_row($name, $method)
        }),*]
    };
}
pub(crate) use methods;

/// Runs Rust code that CPython called: a panic becomes RuntimeError, `Raised` and None become NULL.
pub(super) fn enter(work: impl FnOnce(Attached<'_>) -> object::Result<Option<Object>>) -> *mut PyObject {
    let py = Attached::assume();
    match catch_unwind(AssertUnwindSafe(|| work(py))) {
        Ok(Ok(Some(object))) => object.into_ptr(),
        Ok(Ok(None)) | Ok(Err(Raised)) => ptr::null_mut(),
        Err(_) => {
            raise(py, Exc::Runtime, "mod_wsgi_rs panicked; please report the message in the error log");
            ptr::null_mut()
        }
    }
}

/// Instances are made by us alone: one that Python code made would have no Rust value.
unsafe extern "C" fn refuse_new(_: *mut PyObject, _: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    enter(|py| Err(raise(py, Exc::Type, "instances of this type are made by mod_wsgi only")))
}

unsafe extern "C" fn iterate(this: *mut PyObject) -> *mut PyObject {
    enter(|py| Object::from_borrowed(py, this).map(Some))
}

unsafe extern "C" fn iterate_next<T: Native>(this: *mut PyObject) -> *mut PyObject {
    enter(|py| value::<T>(&this).next(py))
}

unsafe extern "C" fn call<T: Native>(
    this: *mut PyObject,
    arguments: *mut PyObject,
    named: *mut PyObject,
) -> *mut PyObject {
    enter(|py| {
        let arguments = Object::from_borrowed(py, arguments)?;
        let named = Object::from_borrowed(py, named).ok();
        value::<T>(&this).call(py, &arguments, named.as_ref()).map(Some)
    })
}

unsafe extern "C" fn deallocate<T: Native>(this: *mut PyObject) {
    let field = field::<T>(this);
    // SAFETY: CPython destroys the object now; no other thread can reach the field.
    let boxed = unsafe { *field };
    if !boxed.is_null() {
        // SAFETY: `instance` made the box, and this is the one place that takes it back.
        let value = unsafe { Box::from_raw(boxed) };
        // A panic in a destructor must not cross into C; the hook has logged it.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
    }
    // SAFETY: attached; gives a new reference to the object's type.
    let class = unsafe { api().PyObject_Type(this) };
    // SAFETY: the type is a heap type, whose slots may be asked for.
    let free = unsafe { api().PyType_GetSlot(class.cast::<PyTypeObject>(), Py_tp_free) };
    // SAFETY: the slot of every type is a `freefunc`.
    let free = unsafe { mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(free) };
    // SAFETY: the memory came from PyType_GenericAlloc of this type.
    unsafe { free(this.cast()) };
    for _ in 0..2 {
        // SAFETY: one reference from PyObject_Type above, one that every instance holds.
        unsafe { api().Py_DecRef(class) };
    }
}

fn slot(number: i32, function: *mut c_void) -> PyType_Slot {
    PyType_Slot { slot: number, pfunc: function }
}

static HEADER_SIZE: OnceCell<usize> = OnceCell::new();

/// `object.__basicsize__`: the size of the header of every object of this Python.
pub(super) fn header_size(py: Attached<'_>) -> object::Result<usize> {
    HEADER_SIZE
        .get_or_try_init(|| {
            let object = Object::from_borrowed(py, api().PyBaseObject_Type.cast())?;
            let size = object.attribute(py, c"__basicsize__")?.to_i64(py)?;
            usize::try_from(size).map_err(|_| Raised)
        })
        .copied()
}

fn field<T: Native>(this: *mut PyObject) -> *mut *mut T {
    let offset = *HEADER_SIZE.get().expect("set before the first class was defined");
    // SAFETY: instances are header_size + one pointer large.
    unsafe { this.cast::<u8>().add(offset) }.cast()
}

fn value<T: Native>(this: &*mut PyObject) -> &T {
    // SAFETY: CPython calls a type's functions only with its instances, which `instance` filled;
    // the box lives until `deallocate`, which cannot run during a call on the object.
    unsafe { &**field::<T>(*this) }
}
