//! What a sound system has to listen to. Everything here may block on a server that hangs.

use cpal::traits::{DeviceTrait as _, HostTrait as _};
use cpal::{Device, DeviceDirection, Host, HostId};
use tracing::debug;

use super::pulse;
use crate::fault::{Fault, FaultKind};

/// ALSA's plugins that are offered as if they were devices, but only convert, or lead to a sound
/// server whether one runs or not: who has one goes there directly.
const ALSA_PLUGINS: [&str; 11] = [
    "jack",
    "null",
    "pipewire",
    "pulse",
    "lavrate",
    "oss",
    "samplerate",
    "speex",
    "speexrate",
    "upmix",
    "vdownmix",
];

/// A microphone that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Microphone {
    /// What to choose it by; stays the same from day to day.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether it is taken when none is chosen.
    pub is_default: bool,
}

/// What can be listened to, and the devices themselves in the same order.
pub(super) struct Listed {
    pub(super) microphones: Vec<Microphone>,
    pub(super) devices: Vec<Device>,
}

pub(super) fn list(host: &Host) -> Result<Listed, Fault> {
    silence_alsa();
    let devices = host.input_devices().map_err(|error| {
        Fault::new(
            FaultKind::NoMicrophone,
            format!(
                "{} does not say what microphones there are ({error}); restart it",
                host.id().name()
            ),
        )
    })?;
    let devices: Vec<Device> = devices.collect();
    let default = default_of(host, &devices);
    let mut found: Vec<(bool, Microphone, Device)> = devices
        .into_iter()
        .map(|device| {
            let id = identifier(&device);
            let microphone = Microphone {
                name: describe(&device),
                is_default: Some(&id) == default.as_ref(),
                id,
            };
            (is_monitor(&device), microphone, device)
        })
        .filter(|(_, microphone, _)| {
            !is_alsa(host) || !ALSA_PLUGINS.contains(&microphone.id.as_str())
        })
        .collect();
    found.sort_by_key(|(monitor, ..)| *monitor);
    let (microphones, devices) = found
        .into_iter()
        .map(|(_, microphone, device)| (microphone, device))
        .unzip();
    Ok(Listed {
        microphones,
        devices,
    })
}

/// The identifier of the default. PulseAudio's is asked for once more, by a new connection, where what
/// the old one is told cannot be, since there is a microphone ([`pulse::default_source`]).
fn default_of(host: &Host, devices: &[Device]) -> Option<String> {
    let told = host.default_input_device();
    let is_odd = told.as_ref().is_none_or(is_monitor) && !devices.iter().all(is_monitor);
    if is_odd && is_pulseaudio(host.id()) {
        match pulse::default_source() {
            Ok(Some(name)) => return Some(name),
            Ok(None) => {}
            Err(error) => debug!(%error, "a new connection is not told what is the default"),
        }
    }
    told.as_ref().map(identifier)
}

pub(super) fn identifier(device: &Device) -> String {
    device.id().map(|id| id.id().to_owned()).unwrap_or_default()
}

/// ALSA puts what a device is for on a second line.
pub(super) fn describe(device: &Device) -> String {
    device.to_string().replace('\n', ", ")
}

/// Whether this is what an output plays. PulseAudio names such sources so; PipeWire's are outputs
/// that can be listened to.
pub(super) fn is_monitor(device: &Device) -> bool {
    let Ok(id) = device.id() else {
        return false;
    };
    if id.host() == HostId::Alsa {
        return false;
    }
    let both_ways = device
        .description()
        .is_ok_and(|description| description.direction() == DeviceDirection::Duplex);
    id.id().ends_with(".monitor") || both_ways
}

/// PulseAudio, or PipeWire in its place.
pub(super) fn is_pulseaudio(id: HostId) -> bool {
    id == HostId::PulseAudio
}

pub(super) fn is_alsa(host: &Host) -> bool {
    host.id() == HostId::Alsa
}

/// Not a comparison with `HostId::PipeWire`, which is there only with the feature.
pub(super) fn is_pipewire(host: &Host) -> bool {
    host.id().name().eq_ignore_ascii_case("pipewire")
}

/// ALSA's library writes to stderr about every plugin that it cannot load: no concern of anybody
/// who only asks for a list. Counts for this thread only, which is short-lived.
fn silence_alsa() {
    // It fails only for want of memory, and then ALSA is loud.
    let _ = alsa::Output::local_error_handler();
}
