//! How much main memory there is.

/// Bytes of main memory that are free for plans (80 % of what the system reports, 4 GiB where it does not).
pub(crate) fn available_memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))
        .and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<u64>().ok())
        .map_or(4 << 30, |kb| kb * 1024 / 5 * 4)
}
