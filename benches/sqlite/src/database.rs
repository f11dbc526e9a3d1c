//! As much of SQLite's interface as is used here, with its codes as errors.

use std::ffi::{CStr, CString, c_int};
use std::fmt;
use std::ptr;

use libsqlite3_sys as ffi;

/// A code of SQLite that is not one of success.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code(pub c_int);

impl Code {
    pub const NO_MEMORY: Self = Self(ffi::SQLITE_NOMEM);
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: a string that lives for ever, for any code.
        let text = unsafe { CStr::from_ptr(ffi::sqlite3_errstr(self.0)) };
        write!(f, "{} ({})", text.to_string_lossy(), self.0)
    }
}

fn check(code: c_int) -> Result<(), Code> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(Code(code)) }
}

/// A value that is bound to a statement.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Integer(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// A connection, which several threads may use in turn: SQLite locks it for each call.
#[derive(Debug)]
pub struct Database(ptr::NonNull<ffi::sqlite3>);

// SAFETY: opened with `SQLITE_OPEN_FULLMUTEX`, by which SQLite lets any thread use it.
unsafe impl Send for Database {}
// SAFETY: as above.
unsafe impl Sync for Database {}

impl Database {
    pub fn open(name: &str) -> Result<Self, Code> {
        let name = CString::new(name).expect("names have no zeroes");
        let flags = ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE | ffi::SQLITE_OPEN_FULLMUTEX;
        let mut database = ptr::null_mut();
        // SAFETY: the name ends with a zero, and `database` may be written.
        let code = unsafe { ffi::sqlite3_open_v2(name.as_ptr(), &raw mut database, flags, ptr::null()) };
        // There may be one also where it could not be opened, and it is to be closed.
        let database = ptr::NonNull::new(database).map(Self).ok_or(Code(code));
        check(code)?;
        database
    }

    /// Runs a statement that has no rows, or of which nobody wants them.
    pub fn run(&self, sql: &str) -> Result<(), Code> {
        self.query(sql, |_| {})
    }

    /// Runs a statement, and shows each row.
    pub fn query(&self, sql: &str, mut each: impl FnMut(&Row<'_>)) -> Result<(), Code> {
        self.prepare(sql)?.step(&mut each)
    }

    /// The first integer of the only row.
    pub fn number(&self, sql: &str) -> Result<i64, Code> {
        let mut number = None;
        self.query(sql, |row| number = row.integer(0))?;
        Ok(number.expect("there is a number"))
    }

    pub fn prepare(&self, sql: &str) -> Result<Statement<'_>, Code> {
        let mut statement = ptr::null_mut();
        let length = c_int::try_from(sql.len()).expect("statements are short");
        // SAFETY: the text has that many bytes, and `statement` may be written.
        let code = unsafe {
            ffi::sqlite3_prepare_v2(self.0.as_ptr(), sql.as_ptr().cast(), length, &raw mut statement, ptr::null_mut())
        };
        check(code)?;
        Ok(Statement { statement: ptr::NonNull::new(statement).expect("not an empty statement"), database: self })
    }

    /// Runs something as a transaction, which is rolled back where it fails.
    pub fn transaction(&self, work: impl FnOnce() -> Result<(), Code>) -> Result<(), Code> {
        let done = self.run("BEGIN").and_then(|()| work()).and_then(|()| self.run("COMMIT"));
        // SAFETY: the connection is open.
        while unsafe { ffi::sqlite3_get_autocommit(self.0.as_ptr()) } == 0 {
            if let Err(code) = self.run("ROLLBACK") {
                assert_eq!(code, Code::NO_MEMORY, "nothing else is in its way");
            }
        }
        done
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: the connection is open, and nobody uses it any more; statements borrow it.
        let code = unsafe { ffi::sqlite3_close(self.0.as_ptr()) };
        assert_eq!(check(code), Ok(()), "no statement is left");
    }
}

#[derive(Debug)]
pub struct Statement<'a> {
    statement: ptr::NonNull<ffi::sqlite3_stmt>,
    database: &'a Database,
}

impl Statement<'_> {
    /// Runs it with these values, to its end.
    pub fn run(&mut self, values: &[Value<'_>]) -> Result<(), Code> {
        let statement = self.statement.as_ptr();
        for (place, value) in (1..).zip(values) {
            let length = |len: usize| c_int::try_from(len).expect("values are short");
            // SAFETY: of each value SQLite copies as many bytes as there are.
            check(unsafe {
                match value {
                    Value::Integer(number) => ffi::sqlite3_bind_int64(statement, place, *number),
                    Value::Text(text) => ffi::sqlite3_bind_text(
                        statement,
                        place,
                        text.as_ptr().cast(),
                        length(text.len()),
                        ffi::SQLITE_TRANSIENT(),
                    ),
                    Value::Blob(blob) => ffi::sqlite3_bind_blob(
                        statement,
                        place,
                        blob.as_ptr().cast(),
                        length(blob.len()),
                        ffi::SQLITE_TRANSIENT(),
                    ),
                }
            })?;
        }
        self.step(&mut |_| {})
    }

    fn step(&mut self, each: &mut dyn FnMut(&Row<'_>)) -> Result<(), Code> {
        let code = loop {
            // SAFETY: the statement is not finalised.
            match unsafe { ffi::sqlite3_step(self.statement.as_ptr()) } {
                ffi::SQLITE_ROW => each(&Row(self)),
                ffi::SQLITE_DONE => break Ok(()),
                code => break Err(Code(code)),
            }
        };
        // SAFETY: as above. Its code is the one of the last step once more.
        unsafe { ffi::sqlite3_reset(self.statement.as_ptr()) };
        code
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: the statement is not finalised yet. Its code is the one of the last step once more.
        unsafe { ffi::sqlite3_finalize(self.statement.as_ptr()) };
    }
}

/// The row that a statement is at.
#[derive(Debug)]
pub struct Row<'a>(&'a Statement<'a>);

impl Row<'_> {
    fn statement(&self) -> *mut ffi::sqlite3_stmt {
        self.0.statement.as_ptr()
    }

    pub fn integer(&self, column: c_int) -> Option<i64> {
        // SAFETY: both: there is a row, and columns may have any number.
        unsafe {
            let is_integer = ffi::sqlite3_column_type(self.statement(), column) == ffi::SQLITE_INTEGER;
            is_integer.then(|| ffi::sqlite3_column_int64(self.statement(), column))
        }
    }

    /// Shows the type and the bytes of each column. `Err`: there was no memory to make bytes of a number.
    pub fn columns(&self, mut each: impl FnMut(c_int, &[u8])) -> Result<(), Code> {
        // SAFETY: there is a row.
        for column in 0..unsafe { ffi::sqlite3_column_count(self.statement()) } {
            // SAFETY: as above; the bytes stay as they are until the next call for this column.
            let (kind, bytes) = unsafe {
                let kind = ffi::sqlite3_column_type(self.statement(), column);
                let bytes = ffi::sqlite3_column_blob(self.statement(), column).cast::<u8>();
                let length = ffi::sqlite3_column_bytes(self.statement(), column);
                let length = usize::try_from(length).expect("not less than nothing");
                (kind, if bytes.is_null() { &[][..] } else { std::slice::from_raw_parts(bytes, length) })
            };
            // SAFETY: the connection is open.
            let code = unsafe { ffi::sqlite3_errcode(self.0.database.0.as_ptr()) };
            if bytes.is_empty() && code == ffi::SQLITE_NOMEM {
                return Err(Code::NO_MEMORY);
            }
            each(kind, bytes);
        }
        Ok(())
    }
}
