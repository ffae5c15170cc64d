//! Hardware and system of this PC, read on the blocking pool and dropped at once: the tables of
//! the system are larger than the rest of the agent.

use kanade_shared::id::PcId;
use kanade_shared::wire::inventory::{Disk, Hardware, Network};
use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, Networks, RefreshKind, System};

use crate::{blocking, clock, platform};

/// Addresses of one interface, at most.
const ADDRESSES_MAX: usize = 16;
/// Disks and interfaces that are told of, at most: a host of containers has thousands.
const ROWS_MAX: usize = 64;

/// Reads everything anew.
pub(crate) async fn collect(pc_id: PcId) -> Hardware {
    blocking(move || read(pc_id)).await
}

fn read(pc_id: PcId) -> Hardware {
    let what = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    // What a system does not tell is left out; the rest is still worth knowing.
    let system = System::new_with_specifics(what).ok();
    let cpus = system.as_ref().map_or(&[][..], System::cpus);
    let cpu_model = cpus.first().map(|cpu| cpu.brand().trim().to_owned());
    Hardware {
        pc_id,
        collected_at: clock::wall(),
        host_name: platform::host_name().unwrap_or_default(),
        os_family: platform::os_family().to_owned(),
        os_name: System::name().ok(),
        os_version: System::os_version().ok(),
        kernel: System::kernel_version().ok(),
        arch: std::env::consts::ARCH.to_owned(),
        cpu_model: cpu_model.filter(|model| !model.is_empty()),
        cpu_count: u32::try_from(cpus.len()).unwrap_or(u32::MAX),
        ram_bytes: system.as_ref().map_or(0, System::total_memory),
        disks: disks(),
        networks: networks(),
    }
}

fn disks() -> Vec<Disk> {
    let Ok(mounted) = Disks::new_with_refreshed_list() else {
        return Vec::new();
    };
    let mut disks: Vec<Disk> = mounted
        .iter()
        .filter(|disk| disk.total_space() > 0)
        .map(|disk| Disk {
            name: disk.name().to_string_lossy().into_owned(),
            mounted_at: disk.mount_point().to_string_lossy().into_owned(),
            file_system: disk.file_system().to_string_lossy().into_owned(),
            size_bytes: disk.total_space(),
            free_bytes: disk.available_space(),
        })
        .collect();
    // One disk that is mounted at many places is one disk.
    disks.sort_by(|a, b| (&a.name, a.mounted_at.len()).cmp(&(&b.name, b.mounted_at.len())));
    disks.dedup_by(|a, b| a.name == b.name && a.size_bytes == b.size_bytes);
    disks.truncate(ROWS_MAX);
    disks
}

fn networks() -> Vec<Network> {
    let Ok(interfaces) = Networks::new_with_refreshed_list() else {
        return Vec::new();
    };
    let mut networks: Vec<Network> = interfaces
        .iter()
        .filter(|(_, interface)| {
            let addresses = interface.ip_networks();
            !(addresses.iter().any(|network| network.addr.is_loopback()))
        })
        .map(|(name, interface)| Network {
            name: name.to_string_lossy().into_owned(),
            mac: interface.mac_address().to_string(),
            addresses: interface
                .ip_networks()
                .iter()
                .take(ADDRESSES_MAX)
                .map(ToString::to_string)
                .collect(),
        })
        .collect();
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    networks.truncate(ROWS_MAX);
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_pc_has_processors_memory_and_a_name() {
        let hardware = read(PcId::parse("pc-1").unwrap());
        assert!(hardware.cpu_count > 0 && hardware.ram_bytes > 0);
        assert!(!hardware.host_name.is_empty());
        assert!(hardware.networks.iter().all(|network| network.name != "lo"));
    }
}
