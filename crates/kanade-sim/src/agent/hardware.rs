//! The hardware that a simulated PC claims to have.

use kanade_shared::wire::inventory::{Disk, Hardware, Network};

use super::Pc;

const GIB: u64 = 1 << 30;

/// The system family of the PC with this number: most have Windows.
pub(super) fn os_family(number: u32) -> &'static str {
    match number % 10 {
        0..=6 => "windows",
        7 | 8 => "linux",
        _ => "macos",
    }
}

/// What it tells of itself.
pub(super) fn of(pc: &Pc) -> Hardware {
    let family = os_family(pc.number);
    let (name, version, root) = match family {
        "windows" => ("Windows 11 Pro", "10.0.26100", "C:\\"),
        "linux" => ("Debian GNU/Linux", "12", "/"),
        _ => ("macOS", "15.5", "/"),
    };
    let [.., high, low] = pc.number.to_be_bytes();
    Hardware {
        pc_id: pc.pc_id.clone(),
        collected_at: chrono::Utc::now(),
        host_name: pc.pc_id.to_string(),
        os_family: family.to_owned(),
        os_name: Some(name.to_owned()),
        os_version: Some(version.to_owned()),
        kernel: None,
        arch: "x86_64".to_owned(),
        cpu_model: Some("simulated".to_owned()),
        cpu_count: 4 << (pc.number % 3),
        ram_bytes: (8 << (pc.number % 3)) * GIB,
        disks: vec![Disk {
            name: "disk0".to_owned(),
            mounted_at: root.to_owned(),
            file_system: "simulated".to_owned(),
            size_bytes: 512 * GIB,
            free_bytes: u64::from(pc.number % 500) * GIB,
        }],
        networks: vec![Network {
            name: "net0".to_owned(),
            mac: format!("02:00:00:00:{high:02x}:{low:02x}"),
            addresses: vec![format!("10.0.{high}.{low}/16")],
        }],
    }
}
