//! Reading files that strangers made: every length is checked before anything is read or allocated.
//!
//! Enters: bytes with a known end. Leaves: little-endian numbers and short runs of bytes. The
//! calling thread reads.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Why the bytes cannot be what they should be.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file says that more follows than it has.
    #[error("the file ends at byte {end}, but {wanted} bytes should follow byte {at}")]
    Truncated {
        /// Where the bytes were expected.
        at: u64,
        /// How many.
        wanted: u64,
        /// The file's length.
        end: u64,
    },
    /// A length beyond anything that a Whisper model has.
    #[error("{what} of {value} at byte {at} is more than the {most} that a Whisper model can have")]
    TooMuch {
        /// What the number counts.
        what: &'static str,
        /// The number.
        value: u64,
        /// The most that is accepted.
        most: u64,
        /// Where it stands.
        at: u64,
    },
    /// The system could not read.
    #[error("reading failed")]
    Io(#[source] io::Error),
}

/// A reader that knows where it is and where the file ends.
#[derive(Debug)]
pub struct Input<R> {
    reader: R,
    at: u64,
    end: u64,
}

impl Input<BufReader<File>> {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        // Vocabularies are 50,000 reads of a few bytes: 64 KiB makes that a dozen system calls.
        Ok(Input::new(BufReader::with_capacity(64 * 1024, file), end))
    }
}

impl<R: Read + Seek> Input<R> {
    /// Reads from `reader`, which stands at its start and has `end` bytes.
    pub fn new(reader: R, end: u64) -> Self {
        Input { reader, at: 0, end }
    }

    /// How many bytes were read or skipped.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> u64 {
        self.end - self.at
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, InputError> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    /// The next 16-bit number.
    pub fn u16(&mut self) -> Result<u16, InputError> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next 32-bit number.
    pub fn u32(&mut self) -> Result<u32, InputError> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next 32-bit number, refused if it is more than `most`.
    pub fn count(&mut self, what: &'static str, most: u32) -> Result<u32, InputError> {
        let at = self.at;
        let value = self.u32()?;
        if value > most {
            return Err(InputError::TooMuch {
                what,
                value: value.into(),
                most: most.into(),
                at,
            });
        }
        Ok(value)
    }

    /// The next `length` bytes; nothing is allocated for bytes that the file does not have.
    pub fn bytes(&mut self, length: u64) -> Result<Vec<u8>, InputError> {
        self.check(length)?;
        let length = usize::try_from(length).map_err(|_| self.truncated(length))?;
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Goes `length` bytes on.
    pub fn skip(&mut self, length: u64) -> Result<(), InputError> {
        self.check(length)?;
        let offset = i64::try_from(length).map_err(|_| self.truncated(length))?;
        self.reader.seek_relative(offset).map_err(InputError::Io)?;
        self.at += length;
        Ok(())
    }

    /// Goes back to the start.
    pub fn rewind(&mut self) -> Result<(), InputError> {
        self.reader
            .seek(SeekFrom::Start(0))
            .map_err(InputError::Io)?;
        self.at = 0;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], InputError> {
        self.check(N as u64)?;
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), InputError> {
        self.reader.read_exact(bytes).map_err(InputError::Io)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn check(&self, wanted: u64) -> Result<(), InputError> {
        if wanted > self.left() {
            return Err(self.truncated(wanted));
        }
        Ok(())
    }

    fn truncated(&self, wanted: u64) -> InputError {
        InputError::Truncated {
            at: self.at,
            wanted,
            end: self.end,
        }
    }
}

/// Something that numbers are read from at any place: a file, or memory in tests and fuzz targets.
pub trait ReadAt: Send + Sync {
    /// Fills `buffer` from `offset` on.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// The whole of a small text file, refused if it has more than `most` bytes.
pub fn read_text(path: &Path, most: u64) -> Result<String, io::Error> {
    let file = File::open(path)?;
    let mut text = String::new();
    // One byte more than allowed tells a file that is too long from one that just fits.
    file.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("more than {most} bytes"),
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn input(bytes: &[u8]) -> Input<Cursor<&[u8]>> {
        Input::new(Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn numbers_are_little_endian() {
        let mut input = input(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(input.u8().unwrap(), 1);
        assert_eq!(input.u16().unwrap(), 0x0302);
        assert_eq!(input.u32().unwrap(), 0x0706_0504);
        assert_eq!((input.at(), input.left()), (7, 1));
    }

    #[test]
    fn a_length_beyond_the_end_is_refused_before_it_is_read() {
        for wanted in [5, u64::from(u32::MAX), u64::MAX] {
            let mut input = input(&[0; 4]);
            assert!(matches!(
                input.bytes(wanted),
                Err(InputError::Truncated { at: 0, end: 4, .. })
            ));
            assert!(input.skip(wanted).is_err());
            assert_eq!(input.bytes(4).unwrap(), [0; 4]);
        }
    }

    #[test]
    fn memory_is_read_only_where_there_is_some() {
        let memory = vec![1, 2, 3];
        let mut buffer = [0; 2];
        memory.read_exact_at(&mut buffer, 1).unwrap();
        assert_eq!(buffer, [2, 3]);
        assert!(memory.read_exact_at(&mut buffer, 2).is_err());
        assert!(memory.read_exact_at(&mut buffer, u64::MAX).is_err());
    }
}
