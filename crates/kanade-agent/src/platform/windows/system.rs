//! Facts of the system, private folders, and text in the console's code page.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, LocalFree};
use windows_sys::Win32::Globalization::{CP_OEMCP, MultiByteToWideChar};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1, SE_FILE_OBJECT,
    SetNamedSecurityInfoW,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, PROTECTED_DACL_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES,
};
use windows_sys::Win32::Storage::FileSystem::{CreateDirectoryW, GetDiskFreeSpaceExW};
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_DWORD, RegGetValueW};
use windows_sys::Win32::System::SystemInformation::{
    ComputerNamePhysicalDnsHostname, GetComputerNameExW,
};

/// Nothing inherited from above; full rights for SYSTEM, the administrators and the owner, passed
/// on to what is made inside.
const PRIVATE: &str = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)";

/// Counts the boots of this installation.
const BOOT_COUNT_KEY: &str =
    "SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Memory Management\\PrefetchParameters";
const BOOT_COUNT_VALUE: &str = "BootId";

#[expect(unsafe_code, reason = "the standard library sets no access lists")]
pub(in super::super) fn create_private_dir(path: &Path) -> io::Result<()> {
    let descriptor = Descriptor::new(PRIVATE)?;
    let attributes = SECURITY_ATTRIBUTES {
        nLength: std::mem::size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: descriptor.0,
        bInheritHandle: 0,
    };
    // SAFETY: the path ends with NUL, and attributes and descriptor live during the call.
    if unsafe { CreateDirectoryW(wide(path.as_os_str()).as_ptr(), &raw const attributes) } != 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() {
        return descriptor.put_on(path);
    }
    Err(error)
}

/// A file has the access list of its folder, which is private.
pub(in super::super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// NTFS keeps its folders by a journal; there is nothing to flush, and no rights to do so.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same shape as on other systems"
)]
pub(in super::super) fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The number of this boot.
#[expect(unsafe_code, reason = "the registry has no safe interface")]
pub(in super::super) fn boot_id() -> io::Result<String> {
    let mut count = 0u32;
    let mut size = std::mem::size_of::<u32>() as u32;
    let (key, value) = (
        wide(BOOT_COUNT_KEY.as_ref()),
        wide(BOOT_COUNT_VALUE.as_ref()),
    );
    // SAFETY: both names end with NUL; the value is a DWORD by the flag, and there is room for it.
    let status = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            value.as_ptr(),
            RRF_RT_REG_DWORD,
            ptr::null_mut(),
            (&raw mut count).cast(),
            &raw mut size,
        )
    };
    os_result(status).map(|()| format!("boot-{count}"))
}

#[expect(unsafe_code, reason = "the standard library does not tell")]
pub(in super::super) fn disk_free(path: &Path) -> io::Result<u64> {
    // The system wants a folder.
    let folder = if path.is_file() {
        path.parent().unwrap_or(path)
    } else {
        path
    };
    let mut free = 0u64;
    // SAFETY: the path ends with NUL, the first number is live, and the others may be null.
    let asked = unsafe {
        GetDiskFreeSpaceExW(
            wide(folder.as_os_str()).as_ptr(),
            &raw mut free,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    if asked == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(free)
    }
}

#[expect(unsafe_code, reason = "the standard library does not tell")]
pub(in super::super) fn host_name() -> io::Result<String> {
    // A DNS name has at most 255 characters.
    let mut buffer = [0u16; 256];
    let mut length = buffer.len() as u32;
    // SAFETY: the buffer has as many characters as the length says.
    let asked = unsafe {
        GetComputerNameExW(
            ComputerNamePhysicalDnsHostname,
            buffer.as_mut_ptr(),
            &raw mut length,
        )
    };
    if asked == 0 {
        return Err(io::Error::last_os_error());
    }
    let name = buffer.get(..length as usize).unwrap_or(&buffer);
    Ok(String::from_utf16_lossy(name))
}

/// Reads bytes in the code page of consoles; what it does not know is replaced.
#[expect(unsafe_code, reason = "the code pages are the system's")]
pub(in super::super) fn decode_console(bytes: &[u8]) -> String {
    let lossy = || String::from_utf8_lossy(bytes).into_owned();
    let Ok(length) = i32::try_from(bytes.len()) else {
        return lossy();
    };
    if length == 0 {
        return String::new();
    }
    // SAFETY: reads `length` bytes and writes nothing: an output length of 0 asks for the size.
    let needed =
        unsafe { MultiByteToWideChar(CP_OEMCP, 0, bytes.as_ptr(), length, ptr::null_mut(), 0) };
    let Ok(room) = usize::try_from(needed) else {
        return lossy();
    };
    let mut text = vec![0u16; room];
    // SAFETY: reads `length` bytes and writes at most `needed` characters, for which there is room.
    let written = unsafe {
        MultiByteToWideChar(
            CP_OEMCP,
            0,
            bytes.as_ptr(),
            length,
            text.as_mut_ptr(),
            needed,
        )
    };
    if written <= 0 || written != needed {
        lossy()
    } else {
        String::from_utf16_lossy(&text)
    }
}

/// A security descriptor that the system made from text.
struct Descriptor(PSECURITY_DESCRIPTOR);

#[expect(unsafe_code, reason = "access lists have no safe interface")]
impl Descriptor {
    fn new(text: &str) -> io::Result<Self> {
        let mut made: PSECURITY_DESCRIPTOR = ptr::null_mut();
        // SAFETY: the text ends with NUL, the result is live, and its size is not wanted.
        let asked = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                wide(text.as_ref()).as_ptr(),
                SDDL_REVISION_1,
                &raw mut made,
                ptr::null_mut(),
            )
        };
        if asked == 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self(made))
        }
    }

    /// Gives an existing folder this access list in place of its own.
    fn put_on(&self, path: &Path) -> io::Result<()> {
        let (mut present, mut defaulted, mut list) = (0, 0, ptr::null_mut());
        // SAFETY: the descriptor is live; the list that comes back points into it.
        let asked = unsafe {
            GetSecurityDescriptorDacl(self.0, &raw mut present, &raw mut list, &raw mut defaulted)
        };
        if asked == 0 || present == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the path ends with NUL, the list lives as long as the descriptor, and the parts
        // that are not set may be null.
        os_result(unsafe {
            SetNamedSecurityInfoW(
                wide(path.as_os_str()).as_ptr(),
                SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION,
                ptr::null_mut(),
                ptr::null_mut(),
                list,
                ptr::null(),
            )
        })
    }
}

#[expect(unsafe_code, reason = "the system's own memory has to be given back")]
impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the system allocated it for this caller, and nothing points into it any more.
        unsafe { LocalFree(self.0) };
    }
}

fn wide(text: &std::ffi::OsStr) -> Vec<u16> {
    text.encode_wide().chain(std::iter::once(0)).collect()
}

fn os_result(status: u32) -> io::Result<()> {
    // Windows error numbers are given to the standard library as signed ones.
    if status == ERROR_SUCCESS {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(status as i32))
    }
}
