//! Files and directories that hold customers' data: readable by who runs the program and nobody else.
//!
//! On Unix a new file has the rights 0600 and a new directory 0700, whatever the umask; SQLite gives the log and the
//! index beside a database the rights of the database itself. What is there already keeps the rights that a person gave
//! it. On Windows rights are inherited from the folder.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Makes a file that must not be there yet.
///
/// # Errors
/// The system's.
pub fn create_file(path: &Path) -> io::Result<File> {
    options().create_new(true).open(path)
}

/// Writes a file, made where it is missing, emptied where it is not.
///
/// # Errors
/// The system's.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    options().create(true).truncate(true).open(path)?.write_all(bytes)
}

/// Makes a directory that must not be there yet.
///
/// # Errors
/// The system's.
pub fn create_dir(path: &Path) -> io::Result<()> {
    builder().create(path)
}

/// Makes a directory and those above it, where they are missing.
///
/// # Errors
/// The system's.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    builder().recursive(true).create(path)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

fn builder() -> DirBuilder {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn rights(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_its_owners_alone_and_what_is_there_stays_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let deep = home.path().join("a/b");
        create_dir_all(&deep).unwrap();
        create_dir_all(&deep).unwrap();
        assert_eq!((rights(&home.path().join("a")), rights(&deep)), (0o700, 0o700));
        create_dir(&deep.join("c")).unwrap();
        create_dir(&deep.join("c")).unwrap_err();
        assert_eq!(rights(&deep.join("c")), 0o700);
        let file = deep.join("file");
        create_file(&file).unwrap();
        create_file(&file).unwrap_err();
        assert_eq!(rights(&file), 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        write(&file, b"longer").unwrap();
        write(&file, b"short").unwrap();
        assert_eq!(
            (fs::read(&file).unwrap(), rights(&file)),
            (b"short".to_vec(), 0o640)
        );
        write(&deep.join("other"), b"").unwrap();
        assert_eq!(rights(&deep.join("other")), 0o600);
    }
}
