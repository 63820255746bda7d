//! Reads the pickle of a PyTorch checkpoint without running any of it.
//!
//! A pickle is a program for a stack machine, and Python's own reader runs whatever it names. This one knows the few
//! opcodes that `torch.save` emits for a dictionary of tensors, and of the names that a pickle may import only the
//! constructors of tensors: they become values here, never calls. Anything else is an error that names what was asked.
//!
//! Opcodes: CPython `Lib/pickletools.py`; the shape of the data: PyTorch `torch/serialization.py`.

use std::collections::HashMap;

use super::SourceType;
use crate::convert::error::shorten;

/// A tensor as its pickle describes it; nothing is checked against the storage yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PickledTensor {
    /// Name of the storage's entry under `data/`.
    pub(crate) storage: String,
    /// Type of its values.
    pub(crate) dtype: SourceType,
    /// First value, counted in values from the start of the storage.
    pub(crate) offset: u64,
    /// Row-major shape.
    pub(crate) shape: Vec<u64>,
    /// Values from one index to the next, a number for each dimension.
    pub(crate) strides: Vec<u64>,
}

/// The named tensors of a checkpoint's pickle, in its order.
///
/// # Errors
/// What is wrong with it, in words; also when it asks for anything but tensors.
pub(crate) fn tensors(pickle: &[u8]) -> Result<Vec<(String, PickledTensor)>, String> {
    let mut machine = Machine { input: pickle, values: Vec::new(), stack: Vec::new(), memo: HashMap::new() };
    let root = machine.run()?;
    let Value::Dict(items) = &machine.values[root] else {
        return Err("it holds no dictionary of tensors".to_owned());
    };
    if items.len() > MAX_TENSORS {
        return Err(format!("it lists {} tensors", items.len()));
    }
    let mut named = Vec::with_capacity(items.len());
    for (key, value) in items {
        let Value::Text(name) = &machine.values[*key] else {
            return Err("a key of its dictionary is no text".to_owned());
        };
        if name.len() > MAX_TENSOR_NAME {
            return Err(format!("the tensor name `{}` is too long", shorten(name)));
        }
        let Value::Tensor(tensor) = &machine.values[*value] else {
            return Err(format!("`{}` is no tensor; only a plain dictionary of tensors is read", shorten(name)));
        };
        named.push((name.clone(), tensor.clone()));
    }
    Ok(named)
}

/// Values made by one pickle; a 7b checkpoint needs some ten thousand.
const MAX_VALUES: usize = 1 << 20;
const MAX_TENSORS: usize = 65_536;
const MAX_DIMENSIONS: usize = 8;
/// Arguments of a constructor. A pickle may name one long value many times over, so whatever is copied is bounded.
const MAX_ARGUMENTS: usize = 16;
const MAX_TENSOR_NAME: usize = 512;
const MAX_STORAGE_NAME: usize = 64;

/// Values live in one arena and name each other by index: a pickle that nests or repeats itself costs no more than its
/// own length.
type Id = usize;

#[derive(Debug)]
enum Value {
    None,
    Bool,
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    List,
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage { key: String, dtype: SourceType },
    Tensor(PickledTensor),
}

#[derive(Clone, Copy, Debug)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(SourceType),
}

enum Slot {
    Mark,
    Value(Id),
}

struct Machine<'a> {
    input: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Slot>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Runs to the STOP opcode; returns the value left on the stack.
    fn run(&mut self) -> Result<Id, String> {
        loop {
            match self.byte()? {
                // PROTO and FRAME say nothing that is needed here.
                0x80 => self.skip(1)?,
                0x95 => self.skip(8)?,
                b'.' => return self.pop(),
                b'(' => self.stack.push(Slot::Mark),
                b'N' => self.push(Value::None)?,
                0x88 | 0x89 => self.push(Value::Bool)?,
                code @ (b'K' | b'M' | b'J' | 0x8a) => self.integer(code)?,
                b'G' => {
                    self.skip(8)?;
                    self.push(Value::None)?;
                }
                code @ (b'X' | 0x8c) => self.text(code)?,
                b'}' => self.push(Value::Dict(Vec::new()))?,
                b']' => self.push(Value::List)?,
                b')' => self.push(Value::Tuple(Vec::new()))?,
                code @ 0x85..=0x87 => self.short_tuple(usize::from(code - 0x84))?,
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.push(Value::Tuple(items))?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.add_items(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.add_items(&items)?;
                }
                // APPEND and APPENDS: lists occur only in data about the model, which is not needed.
                b'a' => drop(self.pop()?),
                b'e' => drop(self.pop_to_mark()?),
                // BUILD sets attributes on an object (`_metadata` of a state dict): dropped.
                b'b' => drop(self.pop()?),
                code @ (b'q' | b'r' | 0x94) => self.memoize(code)?,
                code @ (b'h' | b'j') => self.recall(code)?,
                b'c' => self.global()?,
                0x93 => self.stack_global()?,
                b'Q' => self.persistent()?,
                b'R' => self.reduce()?,
                code => {
                    return Err(format!("its pickle uses opcode {code:#04x}, which no checkpoint of tensors needs"));
                }
            }
        }
    }

    /// The integer opcodes: one or two unsigned bytes, four signed ones, or any number of signed ones after a length.
    fn integer(&mut self, code: u8) -> Result<(), String> {
        let width = match code {
            b'K' => 1,
            b'M' => 2,
            b'J' => 4,
            _ => usize::from(self.byte()?),
        };
        if width > 8 {
            return Err("its pickle holds a number beyond 64 bits".to_owned());
        }
        let bytes = self.take(width)?;
        let signed = !matches!(code, b'K' | b'M');
        let negative = signed && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = if negative { [0xFF; 8] } else { [0; 8] };
        wide[..width].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, code: u8) -> Result<(), String> {
        let length = if code == b'X' { self.u32()? as usize } else { usize::from(self.byte()?) };
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "its pickle holds a text that is no UTF-8")?;
        self.push(Value::Text(text.to_owned()))
    }

    fn short_tuple(&mut self, count: usize) -> Result<(), String> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn add_items(&mut self, items: &[Id]) -> Result<(), String> {
        let target = self.top()?;
        let Value::Dict(entries) = &mut self.values[target] else {
            return Err("its pickle adds an entry to something that is no dictionary".to_owned());
        };
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("its pickle adds a key without a value".to_owned());
        }
        entries.extend(pairs.iter().map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    fn memoize(&mut self, code: u8) -> Result<(), String> {
        let key = match code {
            b'q' => u32::from(self.byte()?),
            b'r' => self.u32()?,
            _ => self.memo.len() as u32,
        };
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Result<(), String> {
        let key = if code == b'h' { u32::from(self.byte()?) } else { self.u32()? };
        let id = *self.memo.get(&key).ok_or("its pickle recalls a value that it never kept")?;
        self.stack.push(Slot::Value(id));
        Ok(())
    }

    /// GLOBAL: module and name, each ended by a newline.
    fn global(&mut self) -> Result<(), String> {
        let module = self.line()?;
        let name = self.line()?;
        let global = known_global(&module, &name)?;
        self.push(Value::Global(global))
    }

    /// STACK_GLOBAL: module and name from the stack.
    fn stack_global(&mut self) -> Result<(), String> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Value::Text(module), Value::Text(name)) = (&self.values[module], &self.values[name]) else {
            return Err("its pickle imports something that has no name".to_owned());
        };
        let global = known_global(module, name)?;
        self.push(Value::Global(global))
    }

    /// BINPERSID: `("storage", type, key, location, number of values)`.
    fn persistent(&mut self) -> Result<(), String> {
        const NO_STORAGE: &str = "its pickle refers to something that is no storage of values";
        let tuple = self.pop()?;
        let [tag, kind, key, _location, _count] = self.tuple(tuple)?[..] else { return Err(NO_STORAGE.to_owned()) };
        match (&self.values[tag], &self.values[kind], &self.values[key]) {
            (Value::Text(tag), Value::Global(Global::Storage(dtype)), Value::Text(key))
                if tag == "storage" && key.len() <= MAX_STORAGE_NAME =>
            {
                let storage = Value::Storage { key: key.clone(), dtype: *dtype };
                self.push(storage)
            }
            _ => Err(NO_STORAGE.to_owned()),
        }
    }

    /// REDUCE: a constructor and its arguments. Nothing is called: the few known ones become values.
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, constructor) = (self.pop()?, self.pop()?);
        let arguments = self.tuple(arguments)?;
        if arguments.len() > MAX_ARGUMENTS {
            return Err("its pickle gives a constructor too many arguments".to_owned());
        }
        let arguments = arguments.to_vec();
        match self.values[constructor] {
            Value::Global(Global::OrderedDict) if arguments.is_empty() => self.push(Value::Dict(Vec::new())),
            Value::Global(Global::RebuildTensor) => {
                let tensor = self.rebuild(&arguments)?;
                self.push(Value::Tensor(tensor))
            }
            Value::Global(Global::RebuildParameter) => {
                let tensor = *arguments.first().ok_or("its pickle builds a parameter of nothing")?;
                self.stack.push(Slot::Value(tensor));
                Ok(())
            }
            _ => Err("its pickle calls something that makes no tensor; nothing was run".to_owned()),
        }
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, …)`.
    fn rebuild(&self, arguments: &[Id]) -> Result<PickledTensor, String> {
        let [storage, offset, shape, strides, ..] = arguments[..] else {
            return Err("its pickle builds a tensor from too few parts".to_owned());
        };
        let (Value::Storage { key, dtype }, Value::Int(offset)) = (&self.values[storage], &self.values[offset]) else {
            return Err("its pickle builds a tensor from something that is no storage".to_owned());
        };
        let numbers = |id: Id| -> Result<Vec<u64>, String> {
            let number = |id: &Id| match self.values[*id] {
                Value::Int(value) => u64::try_from(value).map_err(|_| "a tensor has a negative size".to_owned()),
                _ => Err("a tensor has a size that is no number".to_owned()),
            };
            self.tuple(id)?.iter().map(number).collect()
        };
        let ranks = (self.tuple(shape)?.len(), self.tuple(strides)?.len());
        if ranks.0 != ranks.1 || ranks.0 > MAX_DIMENSIONS {
            return Err(format!("a tensor has {} dimensions and {} strides", ranks.0, ranks.1));
        }
        let (shape, strides) = (numbers(shape)?, numbers(strides)?);
        let offset = u64::try_from(*offset).map_err(|_| "a tensor begins before its storage")?;
        Ok(PickledTensor { storage: key.clone(), dtype: *dtype, offset, shape, strides })
    }

    fn tuple(&self, id: Id) -> Result<&[Id], String> {
        match &self.values[id] {
            Value::Tuple(items) => Ok(items),
            _ => Err("its pickle has something else where a tuple belongs".to_owned()),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.values.len() >= MAX_VALUES {
            return Err(format!("its pickle makes more than {MAX_VALUES} values"));
        }
        self.stack.push(Slot::Value(self.values.len()));
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        match self.stack.pop() {
            Some(Slot::Value(id)) => Ok(id),
            _ => Err("its pickle takes from an empty stack".to_owned()),
        }
    }

    fn top(&self) -> Result<Id, String> {
        match self.stack.last() {
            Some(Slot::Value(id)) => Ok(*id),
            _ => Err("its pickle looks at an empty stack".to_owned()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mut items = Vec::new();
        loop {
            match self.stack.pop() {
                Some(Slot::Value(id)) => items.push(id),
                Some(Slot::Mark) => break,
                None => return Err("its pickle looks for a mark that is not there".to_owned()),
            }
        }
        items.reverse();
        Ok(items)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.input.split_at_checked(count).ok_or("its pickle ends early")?;
        self.input = rest;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), String> {
        self.take(count).map(|_| ())
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.input.iter().take(256).position(|byte| *byte == b'\n').ok_or("its pickle names nothing")?;
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.skip(1)?;
        Ok(line)
    }
}

/// The only names that a pickle may import.
fn known_global(module: &str, name: &str) -> Result<Global, String> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch" | "torch.storage", storage) => Global::Storage(match storage {
            "FloatStorage" => SourceType::F32,
            "HalfStorage" => SourceType::F16,
            "BFloat16Storage" => SourceType::BF16,
            "BoolStorage" | "ByteStorage" | "CharStorage" => SourceType::Other(1),
            "ShortStorage" => SourceType::Other(2),
            "IntStorage" => SourceType::Other(4),
            "LongStorage" | "DoubleStorage" => SourceType::Other(8),
            _ => return Err(refuse_import(module, name)),
        }),
        _ => return Err(refuse_import(module, name)),
    })
}

fn refuse_import(module: &str, name: &str) -> String {
    format!(
        "its pickle asks to run `{}.{}`; a checkpoint needs tensors only, so nothing was run. Do not load this file \
         with Python either",
        shorten(module),
        shorten(name)
    )
}
