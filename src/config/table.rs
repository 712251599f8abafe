//! Reading one table of the file: every key by name, and whatever is left over is refused.
//!
//! Names `domain` only. The one thing to know: a section asks for each key it knows, so the keys
//! asked for are the keys that exist, and [`Table::finish`] can name a stranger by its whole path.

use super::duration;
use super::refusal::ConfigError;
use crate::domain::id::{SpiffeId, TrustDomain};
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// The longest path that fits `sockaddr_un` with its terminating zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// One key and the value in force, for the log line at start and for checking the manual.
pub type Setting = (String, String);

/// A table of the file, being read.
#[derive(Debug)]
pub(super) struct Table<'a> {
    path: String,
    values: toml::Table,
    known: Vec<&'static str>,
    settings: &'a mut Vec<Setting>,
}

impl<'a> Table<'a> {
    pub(super) fn new(path: &str, values: toml::Table, settings: &'a mut Vec<Setting>) -> Self {
        Self {
            path: path.to_owned(),
            values,
            known: Vec::new(),
            settings,
        }
    }

    /// The whole path of a key of this table, as error messages name it.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The whole path of this table.
    pub(super) fn path_of_table(&self) -> &str {
        &self.path
    }

    /// Whether the file has this key.
    pub(super) fn states(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Ends the reading of this table.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKey`] for a key that nobody asked for.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(stranger) => Err(ConfigError::UnknownKey {
                key: self.key(stranger),
                known: self.known.join(", "),
            }),
        }
    }

    /// A table under this one; empty if the file has none.
    pub(super) fn section(&mut self, key: &'static str) -> Result<Table<'_>, ConfigError> {
        let values = self.take(key, "a table", |value| value.as_table().cloned())?;
        let path = self.key(key);
        Ok(Table::new(&path, values.unwrap_or_default(), self.settings))
    }

    /// Reads every table of an array of tables (`[[key]]`).
    pub(super) fn rows<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut Table<'_>) -> Result<T, ConfigError>,
    ) -> Result<Vec<T>, ConfigError> {
        let rows = self.take(key, "an array of tables (`[[…]]`)", array)?;
        let array_path = self.key(key);
        let mut read_rows = Vec::new();
        for (index, row) in rows.unwrap_or_default().iter().enumerate() {
            let path = format!("{array_path}[{index}]");
            let values = typed(row, &path, "a table", |value| value.as_table().cloned())?;
            let mut table = Table::new(&path, values, self.settings);
            read_rows.push(read(&mut table)?);
            table.finish()?;
        }
        Ok(read_rows)
    }

    /// A number of at least one.
    pub(super) fn count<T>(&mut self, key: &'static str, default: T) -> Result<T, ConfigError>
    where
        T: TryFrom<i64> + Display + Copy,
    {
        let chosen = match self.take(key, "a whole number", Value::as_integer)? {
            None => default,
            Some(0) => return Err(self.refuse(key, "0", NOT_ZERO)),
            Some(number) => T::try_from(number).map_err(|_out_of_range| {
                self.refuse(key, &number.to_string(), "a positive number that fits")
            })?,
        };
        self.note(key, &chosen);
        Ok(chosen)
    }

    /// The number of a user; 0 is root's.
    pub(super) fn user_id(&mut self, key: &'static str) -> Result<Option<u32>, ConfigError> {
        const WANT: &str = "a numeric user ID";
        let Some(number) = self.take(key, WANT, Value::as_integer)? else {
            return Ok(None);
        };
        let uid = u32::try_from(number)
            .map_err(|_out_of_range| self.refuse(key, &number.to_string(), WANT))?;
        self.note(key, &uid);
        Ok(Some(uid))
    }

    /// A duration above zero and at most `max`.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        max: Duration,
    ) -> Result<Duration, ConfigError> {
        let chosen = match self.take(key, duration::FORM, string)? {
            None => default,
            Some(text) => match duration::parse(&text) {
                None => return Err(self.refuse(key, &text, duration::FORM)),
                Some(Duration::ZERO) => return Err(self.refuse(key, &text, NOT_ZERO)),
                Some(long) if long > max => {
                    let want = format!("at most `{}`", duration::show(max));
                    return Err(self.refuse(key, &text, &want));
                }
                Some(fitting) => fitting,
            },
        };
        self.note(key, &duration::show(chosen));
        Ok(chosen)
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> Result<bool, ConfigError> {
        let stated = self.take(key, "`true` or `false`", Value::as_bool)?;
        let chosen = stated.unwrap_or(default);
        self.note(key, &chosen);
        Ok(chosen)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(text) = self.take(key, "a text in quotes", string)? else {
            return Ok(None);
        };
        if text.is_empty() {
            return Err(self.refuse(key, "", "a text that is not empty"));
        }
        self.note(key, &text);
        Ok(Some(text))
    }

    pub(super) fn text_or(
        &mut self,
        key: &'static str,
        default: &str,
    ) -> Result<String, ConfigError> {
        if let Some(text) = self.text(key)? {
            return Ok(text);
        }
        self.note(key, &default);
        Ok(default.to_owned())
    }

    /// One word of a closed list.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        default: &str,
        choices: &[(&str, T)],
    ) -> Result<T, ConfigError> {
        let word = self.text_or(key, default)?;
        let found = choices.iter().find(|(name, _)| *name == word);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.refuse(key, &word, &format!("one of {}", names.join(", ")))
        })
    }

    /// A list of texts; absent as empty.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        let values = self.take(key, "a list of texts", array)?;
        let path = self.key(key);
        let mut texts = Vec::new();
        for (index, value) in values.unwrap_or_default().iter().enumerate() {
            let path = format!("{path}[{index}]");
            texts.push(typed(value, &path, "a text in quotes", string)?);
        }
        self.note(key, &format_args!("{texts:?}"));
        Ok(texts)
    }

    /// An absolute path without `..`.
    pub(super) fn path(
        &mut self,
        key: &'static str,
        default: &str,
    ) -> Result<PathBuf, ConfigError> {
        let text = self.text_or(key, default)?;
        self.absolute(key, &text)
    }

    fn absolute(&self, key: &str, text: &str) -> Result<PathBuf, ConfigError> {
        let climbs = text.split('/').any(|segment| segment == "..");
        if !text.starts_with('/') || climbs || text.contains('\0') {
            return Err(self.refuse(key, text, "an absolute path without `..`"));
        }
        Ok(PathBuf::from(text))
    }

    /// An absolute path that fits a Unix socket's address.
    pub(super) fn socket_path(
        &mut self,
        key: &'static str,
        default: &str,
    ) -> Result<PathBuf, ConfigError> {
        let path = self.path(key, default)?;
        if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let want = format!("a socket path of at most {SOCKET_PATH_BYTES_MAX} bytes");
            return Err(self.refuse(key, &path.display().to_string(), &want));
        }
        Ok(path)
    }

    /// A SPIFFE ID with a path: the name of a workload, not of a whole trust domain.
    pub(super) fn spiffe_id(&mut self, key: &'static str) -> Result<SpiffeId, ConfigError> {
        let text = self
            .text(key)?
            .ok_or_else(|| self.missing(key, "a SPIFFE ID"))?;
        workload_id(self.key(key), &text)
    }

    pub(super) fn spiffe_ids(&mut self, key: &'static str) -> Result<Vec<SpiffeId>, ConfigError> {
        let path = self.key(key);
        self.texts(key)?
            .iter()
            .enumerate()
            .map(|(index, text)| workload_id(format!("{path}[{index}]"), text))
            .collect()
    }

    pub(super) fn trust_domains(
        &mut self,
        key: &'static str,
    ) -> Result<Vec<TrustDomain>, ConfigError> {
        let path = self.key(key);
        self.texts(key)?
            .iter()
            .enumerate()
            .map(|(index, text)| {
                TrustDomain::new(text).map_err(|source| ConfigError::SpiffeId {
                    key: format!("{path}[{index}]"),
                    value: text.clone(),
                    source,
                })
            })
            .collect()
    }

    pub(super) fn refuse(&self, key: &str, value: &str, want: &str) -> ConfigError {
        ConfigError::Value {
            key: self.key(key),
            value: value.to_owned(),
            want: want.to_owned(),
        }
    }

    pub(super) fn missing(&self, key: &str, want: &'static str) -> ConfigError {
        ConfigError::Missing {
            key: self.key(key),
            want,
        }
    }

    fn take<T>(
        &mut self,
        key: &'static str,
        want: &'static str,
        pick: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.known.push(key);
        match self.values.remove(key) {
            None => Ok(None),
            Some(value) => typed(&value, &self.key(key), want, pick).map(Some),
        }
    }

    fn note(&mut self, key: &str, value: &dyn Display) {
        let path = self.key(key);
        self.settings.push((path, value.to_string()));
    }
}

const NOT_ZERO: &str = "more than zero; there is no \"unlimited\"";

fn typed<T>(
    value: &Value,
    key: &str,
    want: &'static str,
    pick: impl Fn(&Value) -> Option<T>,
) -> Result<T, ConfigError> {
    pick(value).ok_or_else(|| ConfigError::Type {
        key: key.to_owned(),
        want,
        found: value.type_str(),
    })
}

fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn array(value: &Value) -> Option<Vec<Value>> {
    value.as_array().cloned()
}

fn workload_id(key: String, text: &str) -> Result<SpiffeId, ConfigError> {
    match SpiffeId::new(text) {
        Ok(id) if id.path().is_empty() => Err(ConfigError::Value {
            key,
            value: text.to_owned(),
            want: "the SPIFFE ID of a workload, with a path".to_owned(),
        }),
        Ok(id) => Ok(id),
        Err(source) => Err(ConfigError::SpiffeId {
            key,
            value: text.to_owned(),
            source,
        }),
    }
}
