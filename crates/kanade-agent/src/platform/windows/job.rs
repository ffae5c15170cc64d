//! Processes, threads and job objects, wrapped so that nothing unsafe leaves this file.

use std::ffi::c_void;
use std::io;
use std::mem;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};
use std::ptr;
use std::time::Duration;

use windows_sys::Win32::Foundation::{FILETIME, HANDLE, INVALID_HANDLE_VALUE, WAIT_OBJECT_0};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JobObjectBasicAccountingInformation, JobObjectExtendedLimitInformation,
    QueryInformationJobObject, SetInformationJobObject, TerminateJobObject,
};
use windows_sys::Win32::System::Threading::{
    GetProcessTimes, OpenProcess, OpenThread, PROCESS_QUERY_LIMITED_INFORMATION,
    PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, ResumeThread, THREAD_SUSPEND_RESUME, TerminateProcess,
    WaitForSingleObject,
};

use super::super::Leftovers;

/// What a program that was killed leaves as its exit code; never reported as the program's own.
const KILLED: u32 = 1;

/// A job object; ends its processes when it is dropped, unless [`Job::outlive`] was called.
#[derive(Debug)]
pub(super) struct Job(OwnedHandle);

#[expect(unsafe_code, reason = "job objects have no safe interface")]
impl Job {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: both pointers may be null: no attributes, no name.
        let handle = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
        let job = Self(owned(handle)?);
        job.limit(JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)?;
        Ok(job)
    }

    fn limit(&self, flags: u32) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = flags;
        // SAFETY: the handle is open, the pointer and the size are those of the structure that
        // this information class wants.
        done(unsafe {
            SetInformationJobObject(
                self.0.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                ptr::from_ref(&limits).cast::<c_void>(),
                size_of(&limits),
            )
        })
    }

    /// Puts a process into the job; what it starts from now on is in it, too.
    pub(super) fn assign(&self, process: RawHandle) -> io::Result<()> {
        // SAFETY: both handles are open during the call.
        done(unsafe { AssignProcessToJobObject(self.0.as_raw_handle(), process) })
    }

    /// How many of its processes live.
    pub(super) fn active(&self) -> usize {
        let mut counts = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        let size = size_of(&counts);
        // SAFETY: the pointer and the size are those of the structure that this information class
        // fills; the length that was written is not wanted.
        let asked = done(unsafe {
            QueryInformationJobObject(
                self.0.as_raw_handle(),
                JobObjectBasicAccountingInformation,
                ptr::from_mut(&mut counts).cast::<c_void>(),
                size,
                ptr::null_mut(),
            )
        });
        asked.map_or(0, |()| counts.ActiveProcesses as usize)
    }

    /// Ends all of its processes at once.
    pub(super) fn terminate(&self) {
        // SAFETY: the handle is open. Fails only for lack of rights, which the maker has.
        unsafe { TerminateJobObject(self.0.as_raw_handle(), KILLED) };
    }

    /// From now on its processes live on when the job is dropped.
    pub(super) fn outlive(&self) {
        // If the system refuses, they end with the job: safe, if not kind.
        let _ = self.limit(0);
    }
}

/// When a process started, in 100 ns units of the wall clock.
#[expect(unsafe_code, reason = "the standard library does not tell")]
pub(super) fn started(process: RawHandle) -> io::Result<u64> {
    let mut times = [FILETIME::default(); 4];
    let [created, exited, kernel, user] = &mut times;
    // SAFETY: the handle is open and the four pointers are to distinct live structures.
    done(unsafe { GetProcessTimes(process, created, exited, kernel, user) })?;
    Ok(u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime))
}

/// Lets the threads of a suspended process run.
#[expect(
    unsafe_code,
    reason = "the standard library keeps no handle of the first thread"
)]
pub(super) fn resume(pid: u32) -> io::Result<()> {
    // SAFETY: takes no pointers; the result is checked.
    let snapshot = owned(unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0) })?;
    let mut entry = THREADENTRY32 {
        dwSize: mem::size_of::<THREADENTRY32>() as u32,
        ..Default::default()
    };
    let mut resumed = 0;
    // SAFETY: the snapshot is open, and the entry is live and says its own size.
    let mut more = unsafe { Thread32First(snapshot.as_raw_handle(), &raw mut entry) };
    while more != 0 {
        if entry.th32OwnerProcessID == pid {
            resume_thread(entry.th32ThreadID)?;
            resumed += 1;
        }
        // SAFETY: as above.
        more = unsafe { Thread32Next(snapshot.as_raw_handle(), &raw mut entry) };
    }
    if resumed == 0 {
        return Err(io::Error::other("the child was gone before it began"));
    }
    Ok(())
}

#[expect(
    unsafe_code,
    reason = "threads of other processes have no safe interface"
)]
fn resume_thread(id: u32) -> io::Result<()> {
    // SAFETY: takes no pointers; the result is checked.
    let thread = owned(unsafe { OpenThread(THREAD_SUSPEND_RESUME, 0, id) })?;
    // SAFETY: the handle is open and has the right that is needed.
    match unsafe { ResumeThread(thread.as_raw_handle()) } {
        u32::MAX => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Ends the process of this id if it started at that time, and waits for its end.
#[expect(
    unsafe_code,
    reason = "processes that are no children have no safe interface"
)]
pub(super) fn kill_if_same(pid: u32, expected: u64, patience: Duration) -> Leftovers {
    let rights = PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_TERMINATE | PROCESS_SYNCHRONIZE;
    // SAFETY: takes no pointers; the result is checked. The open handle keeps the id from being
    // given to another process.
    let Ok(process) = owned(unsafe { OpenProcess(rights, 0, pid) }) else {
        return Leftovers::default();
    };
    if started(process.as_raw_handle()).ok() != Some(expected) {
        return Leftovers::default();
    }
    let limit = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX - 1);
    // SAFETY: the handle is open and has both rights that are needed.
    let (asked, waited) = unsafe {
        let handle = process.as_raw_handle();
        (
            TerminateProcess(handle, KILLED),
            WaitForSingleObject(handle, limit),
        )
    };
    Leftovers {
        killed: usize::from(asked != 0),
        survivors: usize::from(waited != WAIT_OBJECT_0),
    }
}

fn size_of<T>(_: &T) -> u32 {
    // Fits: these structures have some hundred bytes.
    mem::size_of::<T>() as u32
}

/// Takes over a handle that the system has just given, or its error.
#[expect(unsafe_code, reason = "the system gives bare handles")]
fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is valid, was just made for this caller, and nobody else closes it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

fn done(result: windows_sys::core::BOOL) -> io::Result<()> {
    if result == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
