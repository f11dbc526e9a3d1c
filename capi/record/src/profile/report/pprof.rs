//! pprof's format: `profile.proto`, compressed with gzip.

use std::collections::HashMap;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use libdd_profiling_protobuf::{
    Function, Line, Location, Mapping, NO_OPT_ZERO, OPT_ZERO, Record, Sample, StringOffset, Value, ValueType,
};

use super::symbols::{Frame, Symbols};
use super::{FIGURES, Site};

/// The fields of a profile.
const SAMPLE_TYPE: u32 = 1;
const SAMPLE: u32 = 2;
const MAPPING: u32 = 3;
const LOCATION: u32 = 4;
const FUNCTION: u32 = 5;
const STRING: u32 = 6;
const PERIOD_TYPE: u32 = 11;
const PERIOD: u32 = 12;
const COMMENT: u32 = 13;
const DEFAULT_TYPE: u32 = 14;

/// The texts of a profile, by their numbers. The first one is empty.
#[derive(Default)]
struct Texts<'t> {
    numbers: HashMap<&'t str, usize>,
    texts: Vec<&'t str>,
}

impl<'t> Texts<'t> {
    fn number(&mut self, text: &'t str) -> io::Result<StringOffset> {
        if self.texts.is_empty() {
            self.numbers.insert("", 0);
            self.texts.push("");
        }
        let number = *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() - 1
        });
        StringOffset::try_from(number).map_err(io::Error::other)
    }
}

/// A message of the profile.
fn put<V: Value, const FIELD: u32>(to: &mut impl Write, value: V) -> io::Result<()> {
    Record::<V, FIELD, NO_OPT_ZERO>::from(value).encode(to)
}

/// A field that is left out if it is 0.
fn field<V: Value, const FIELD: u32>(value: V) -> Record<V, FIELD, OPT_ZERO> {
    value.into()
}

/// The profile. Default: the live bytes at the peak.
pub fn encode(program: &str, mean: u64, sites: &[Site], symbols: &Symbols) -> io::Result<Vec<u8>> {
    let names: Vec<String> =
        symbols.mappings.iter().map(|mapping| mapping.file.to_string_lossy().into_owned()).collect();
    let mut to = GzEncoder::new(Vec::new(), Compression::default());
    let mut texts = Texts::default();
    for (name, unit, _) in FIGURES {
        put::<_, SAMPLE_TYPE>(
            &mut to,
            ValueType { r#type: texts.number(name)?.into(), unit: texts.number(unit)?.into() },
        )?;
    }
    for (number, (mapping, name)) in symbols.mappings.iter().zip(&names).enumerate() {
        let mapping = Mapping {
            id: (number as u64 + 1).into(),
            memory_start: mapping.begin.into(),
            memory_limit: mapping.end.into(),
            file_offset: mapping.offset.into(),
            filename: texts.number(name)?.into(),
            ..Mapping::default()
        };
        put::<_, MAPPING>(&mut to, mapping)?;
    }
    // A location has one function here: each inlined one has a location of its own.
    let mut locations: HashMap<&Frame, u64> = HashMap::new();
    let mut functions: HashMap<(&str, &str), u64> = HashMap::new();
    for site in sites {
        let mut ids = Vec::new();
        for frame in &site.frames {
            let next = locations.len() as u64 + 1;
            let id = *locations.entry(frame).or_insert(next);
            ids.push(id);
            if id != next {
                continue;
            }
            let next = functions.len() as u64 + 1;
            let function = *functions.entry((&frame.name, &frame.file)).or_insert(next);
            if function == next {
                let (name, file) = (texts.number(&frame.name)?, texts.number(&frame.file)?);
                put::<_, FUNCTION>(
                    &mut to,
                    Function { id: next.into(), name: name.into(), system_name: name.into(), filename: file.into() },
                )?;
            }
            let location = Location {
                id: id.into(),
                mapping_id: frame.mapping.map_or(0, |number| number as u64 + 1).into(),
                address: frame.address.into(),
                line: Line { function_id: function.into(), lineno: i64::from(frame.line).into() }.into(),
            };
            put::<_, LOCATION>(&mut to, location)?;
        }
        let values = site.figures.map(|figure| i64::try_from(figure).unwrap_or(i64::MAX));
        put::<_, SAMPLE>(
            &mut to,
            Sample { location_ids: ids.as_slice().into(), values: values.as_slice().into(), labels: &[] },
        )?;
    }
    let (space, bytes) = (texts.number("space")?, texts.number("bytes")?);
    put::<_, PERIOD_TYPE>(&mut to, ValueType { r#type: space.into(), unit: bytes.into() })?;
    field::<_, PERIOD>(i64::try_from(mean).unwrap_or(i64::MAX)).encode(&mut to)?;
    put::<_, COMMENT>(&mut to, texts.number(program)?)?;
    put::<_, DEFAULT_TYPE>(&mut to, texts.number("peak_space")?)?;
    for text in &texts.texts {
        put::<_, STRING>(&mut to, *text)?;
    }
    to.finish()
}
