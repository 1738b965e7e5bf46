//! Which sound servers run, which microphones they have, and which of them is meant.
//!
//! Everything here may block on a server that hangs: only on a thread that may be left behind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use cpal::traits::HostTrait as _;
use cpal::{Device, ErrorKind, Host, HostId};
use tracing::debug;

use super::lasting::Wanted;
use super::listed::{
    Listed, Microphone, describe, identifier, is_alsa, is_monitor, is_pipewire, is_pulseaudio, list,
};
use crate::fault::{Fault, FaultKind};

/// The names of the sound systems, in the order in which the first one running is taken. PulseAudio
/// is also what PipeWire offers, and gives the least trouble; ALSA is always there.
pub const HOSTS: [&str; 3] = ["pulseaudio", "pipewire", "alsa"];

/// The one of them that says by itself what changes.
pub(super) const SAYS_CHANGES: &str = HOSTS[0];

/// How long a server may take to say what it has; it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a server that was there may take to say that it still is: as long as cpal gives a new one.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// The microphones of the first sound system that runs, or of the named one: microphones first,
/// then what outputs play, which can be chosen as well. Blocks, but not for ever.
pub fn microphones(host: Option<&str>) -> Result<Vec<Microphone>, Fault> {
    let host = host.map(str::to_owned);
    let (answer, answered) = mpsc::channel();
    let asked = thread::Builder::new()
        .name("microphones".to_owned())
        .spawn(move || {
            let list = running(host.as_deref());
            // Nobody waits any more.
            let _ = answer.send(list.map(|(_, listed)| listed.microphones));
        });
    let list = asked
        .ok()
        .and_then(|_| answered.recv_timeout(PATIENCE).ok());
    list.unwrap_or_else(|| Err(unresponsive()))
}

/// A sound server that does not answer.
pub(super) fn unresponsive() -> Fault {
    Fault::new(
        FaultKind::NoMicrophone,
        "the sound server does not answer; restart it, for instance with `systemctl --user restart pipewire pipewire-pulse wireplumber`",
    )
}

/// A device with what it is called.
pub(super) struct Found {
    pub(super) device: Device,
    pub(super) name: String,
    /// The one that was meant is not there.
    pub(super) is_instead: bool,
    host: Arc<Host>,
}

impl Found {
    /// One of [`HOSTS`].
    pub(super) fn host_name(&self) -> String {
        self.host.id().to_string()
    }
}

/// Finds the microphone that is meant, or where that is allowed the default in its place.
pub(super) fn find(wanted: &Wanted) -> Result<Found, Fault> {
    let (host, listed) = running(wanted.host.as_deref())?;
    let system = host.id().name();
    let Listed {
        microphones: list,
        mut devices,
    } = listed;
    let by_default = |host: Arc<Host>, devices: &[Device], is_instead| {
        let (device, name) = find_default(&host, &list, devices)?;
        Ok(Found {
            device,
            name,
            is_instead,
            host,
        })
    };
    let Some(named) = wanted.device.as_deref().filter(|named| !named.is_empty()) else {
        return by_default(host, &devices, false);
    };
    match choose(&list, named, system) {
        Ok(at) => Ok(Found {
            device: devices.swap_remove(at),
            name: list[at].name.clone(),
            is_instead: false,
            host,
        }),
        Err(Unclear::Several(fault)) => Err(fault),
        Err(Unclear::Absent(fault)) if wanted.fallback => {
            by_default(host, &devices, true).map_err(|_| fault)
        }
        Err(Unclear::Absent(fault)) => Err(fault),
    }
}

/// What has become of a microphone that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Now {
    /// It is the one that is meant, or nobody says otherwise.
    Same,
    /// It is not there any more. A sound server may go on with something else in its place, such as
    /// what an output plays, and say nothing.
    Gone,
    /// Another is meant: the default is another, or the one that was meant is back.
    Another,
}

/// Looks once at what there is. A server that does not answer has not said that anything changed.
pub(super) fn look(found: &Found, wanted: Option<&str>) -> Now {
    let host = &found.host;
    let named = wanted.filter(|wanted| !wanted.is_empty());
    // Their defaults are names for whatever is the default, and follow by themselves.
    let follows = is_alsa(host) || is_pipewire(host);
    if follows && !found.is_instead {
        return Now::Same;
    }
    let Ok(Listed {
        microphones: list,
        devices,
    }) = list(host)
    else {
        return Now::Same;
    };
    let id = identifier(&found.device);
    if !follows && list.iter().all(|it| it.id != id) {
        return Now::Gone;
    }
    match named {
        Some(named) if found.is_instead && choose(&list, named, "").is_ok() => Now::Another,
        Some(_) if !found.is_instead => Now::Same,
        _ if follows => Now::Same,
        _ => {
            let is_another = |at: usize| list[at].id != id && !is_monitor(&devices[at]);
            let default = list.iter().position(|it| it.is_default);
            default.map_or(Now::Same, |at| match is_another(at) {
                true => Now::Another,
                false => Now::Same,
            })
        }
    }
}

/// The default, or another microphone where that is only what an output plays: that is what servers
/// fall back to when none is connected, and nobody speaks there.
fn find_default(
    host: &Host,
    list: &[Microphone],
    devices: &[Device],
) -> Result<(Device, String), Fault> {
    let missing = || {
        Fault::new(
            FaultKind::NoMicrophone,
            format!(
                "{} has no microphone; connect one, or switch it on in the sound settings",
                host.id().name()
            ),
        )
    };
    if is_pulseaudio(host.id()) {
        // Where it names no microphone although there is one, somebody speaks there all the same.
        let real = (list.iter().zip(devices)).filter(|(_, device)| !is_monitor(device));
        let meant = real.min_by_key(|(microphone, _)| !microphone.is_default);
        let (microphone, device) = meant.ok_or_else(missing)?;
        return Ok((device.clone(), microphone.name.clone()));
    }
    let device = host.default_input_device().ok_or_else(missing)?;
    if is_alsa(host) {
        // Its default may be anything; only opening it tells.
        let name = describe(&device);
        return Ok((device, name));
    }
    // PipeWire's default is a name for whatever is the default at the time.
    let id = identifier(&device);
    let other = |device: &Device| identifier(device) != id && !is_monitor(device);
    if devices.iter().any(other) {
        Ok((device, "PipeWire's default microphone".to_owned()))
    } else {
        Err(missing())
    }
}

/// The named host, or the first that answers, with what it has.
fn running(name: Option<&str>) -> Result<(Arc<Host>, Listed), Fault> {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        let host = name.parse().map_err(|_| unknown_host(name))?;
        let connected = connected(host).map_err(|reason| {
            Fault::new(
                FaultKind::NoMicrophone,
                format!(
                    "{host} does not answer ({reason}); start it, or choose another sound system"
                ),
            )
        });
        return connected?.listed();
    }
    let mut tried = Vec::new();
    let available = cpal::available_hosts();
    for name in HOSTS {
        let Ok(host) = name.parse::<HostId>() else {
            continue;
        };
        if !available.contains(&host) {
            continue;
        }
        match connected(host) {
            Ok(connected) => return connected.listed(),
            Err(reason) => {
                debug!(%host, reason, "this sound system does not run");
                tried.push(format!("{host}: {reason}"));
            }
        }
    }
    let tried = tried.join(", ");
    Err(Fault::new(
        FaultKind::NoMicrophone,
        format!("no sound system answers ({tried}); start PipeWire or PulseAudio"),
    ))
}

/// The connection to PulseAudio. Its client has a thread that nobody wakes when the last handle is
/// dropped: a connection for each use would now and then leave that thread and three descriptors
/// behind. So there is one, until its server goes.
static PULSEAUDIO: Mutex<Option<Arc<Host>>> = Mutex::new(None);

fn kept() -> MutexGuard<'static, Option<Arc<Host>>> {
    PULSEAUDIO.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection to a sound system that answers.
struct Connected {
    host: Arc<Host>,
    /// What it has, where that was its answer.
    listed: Option<Listed>,
}

impl Connected {
    fn listed(self) -> Result<(Arc<Host>, Listed), Fault> {
        let listed = match self.listed {
            Some(listed) => listed,
            None => list(&self.host)?,
        };
        Ok((self.host, listed))
    }
}

/// A connection to a sound system, or why there is none. Blocks for seconds at most.
fn connected(id: HostId) -> Result<Connected, String> {
    let is_kept = is_pulseaudio(id);
    let known = if is_kept { kept().clone() } else { None };
    if let Some(host) = known {
        match ask(&host) {
            Some(Ok(listed)) => {
                let listed = Some(listed);
                return Ok(Connected { host, listed });
            }
            Some(Err(fault)) => {
                debug!(%fault, "the sound server is another one now");
                forget(&host);
            }
            None => {
                // Whoever still waits has its own handle, and is answered or told when it goes.
                forget(&host);
                return Err("no answer".to_owned());
            }
        }
    }
    let host = cpal::host_from_id(id).map_err(|error| error.to_string())?;
    let mut host = Arc::new(host);
    if is_kept {
        // Another thread may have been as fast: one of both stays.
        host = kept().get_or_insert(host).clone();
    }
    Ok(Connected { host, listed: None })
}

/// Lets go of a connection that is of no use any more.
fn forget(host: &Arc<Host>) {
    kept().take_if(|kept| Arc::ptr_eq(kept, host));
}

/// Asks a server that may have gone, or stopped, what it has; nothing where it does not say.
fn ask(host: &Arc<Host>) -> Option<Result<Listed, Fault>> {
    let (answer, answered) = mpsc::channel();
    let host = host.clone();
    thread::Builder::new()
        .name("sound server".to_owned())
        .spawn(move || {
            // Nobody waits any more.
            let _ = answer.send(list(&host));
        })
        .ok()?;
    answered.recv_timeout(HANDSHAKE).ok()
}

fn unknown_host(name: &str) -> Fault {
    let message = if HOSTS.contains(&name) {
        format!(
            "this wstreamd was built without {name}; choose pulseaudio, which PipeWire also offers, or alsa"
        )
    } else {
        format!(
            "there is no sound system {name:?}; choose one of {}",
            HOSTS.join(", ")
        )
    };
    Fault::new(FaultKind::UnknownMicrophone, message)
}

/// Why a name means no microphone of a list.
#[derive(Debug)]
enum Unclear {
    /// None is called so.
    Absent(Fault),
    /// More than one is.
    Several(Fault),
}

/// Which of the list is meant: by identifier, else by name, else by the only one that contains it.
fn choose(list: &[Microphone], wanted: &str, system: &str) -> Result<usize, Unclear> {
    let exactly = |by: fn(&Microphone) -> &str| list.iter().position(|one| by(one) == wanted);
    if let Some(at) = exactly(|one| &one.id).or_else(|| exactly(|one| &one.name)) {
        return Ok(at);
    }
    let lower = wanted.to_lowercase();
    let matching: Vec<usize> = (0..list.len())
        .filter(|&at| {
            let Microphone { id, name, .. } = &list[at];
            id.to_lowercase().contains(&lower) || name.to_lowercase().contains(&lower)
        })
        .collect();
    let names = |indices: &mut dyn Iterator<Item = usize>| -> String {
        let names: Vec<String> = indices
            .map(|at| format!("{} ({})", list[at].id, list[at].name))
            .collect();
        names.join(", ")
    };
    let message = match matching.as_slice() {
        &[at] => return Ok(at),
        [] if list.is_empty() => {
            format!("there is no microphone {wanted:?}, {system} has none at all; connect one")
        }
        [] => format!(
            "there is no microphone {wanted:?}; {system} has {}: choose one of these",
            names(&mut (0..list.len()))
        ),
        several => format!(
            "more than one microphone is called {wanted:?}: {}; choose one by the identifier before its name",
            names(&mut several.iter().copied())
        ),
    };
    let fault = Fault::new(FaultKind::UnknownMicrophone, message);
    Err(match matching.is_empty() {
        true => Unclear::Absent(fault),
        false => Unclear::Several(fault),
    })
}

/// What went wrong with opening or using a microphone, for people.
pub(super) fn explain(error: &cpal::Error, name: &str) -> Fault {
    let (kind, message) = match error.kind() {
        ErrorKind::DeviceBusy => (
            FaultKind::MicrophoneBusy,
            format!(
                "another program keeps the microphone {name} to itself; end that program, or listen through PipeWire or PulseAudio, which share it"
            ),
        ),
        ErrorKind::PermissionDenied => (
            FaultKind::NoMicrophone,
            format!(
                "you may not use the microphone {name} ({error}); add yourself to the group `audio` and log in again"
            ),
        ),
        ErrorKind::UnsupportedConfig | ErrorKind::UnsupportedOperation => (
            FaultKind::Failed,
            format!(
                "the microphone {name} gives sound in no form that is understood ({error}); choose another microphone or sound system"
            ),
        ),
        // ALSA says in its own words that a server does not run.
        _ => (
            FaultKind::NoMicrophone,
            format!(
                "the microphone {name} cannot be opened ({error}); connect it or start its sound server, or choose another"
            ),
        ),
    };
    Fault::new(kind, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<Microphone> {
        [
            ("alsa_input.usb-blue", "Blue Yeti"),
            ("alsa_input.pci", "Built-in Audio Analogue Stereo"),
            ("alsa_input.pci.2", "Built-in Audio Digital Stereo"),
            ("yeti", "Blue Yeti Nano"),
        ]
        .map(|(id, name)| Microphone {
            id: id.to_owned(),
            name: name.to_owned(),
            is_default: false,
        })
        .into()
    }

    fn chosen(wanted: &str) -> Result<usize, String> {
        choose(&list(), wanted, "PulseAudio").map_err(|unclear| {
            let (Unclear::Absent(fault) | Unclear::Several(fault)) = unclear;
            assert_eq!(fault.kind, FaultKind::UnknownMicrophone);
            fault.message
        })
    }

    #[test]
    fn identifier_before_name_before_part() {
        assert_eq!(chosen("alsa_input.pci"), Ok(1));
        assert_eq!(chosen("Blue Yeti"), Ok(0));
        assert_eq!(chosen("yeti"), Ok(3));
        assert_eq!(chosen("USB"), Ok(0));
        assert_eq!(chosen("digital"), Ok(2));
    }

    #[test]
    fn unknown_and_ambiguous_names_list_what_there_is() {
        let message = chosen("webcam").unwrap_err();
        assert!(message.contains("no microphone \"webcam\""), "{message}");
        assert!(message.contains("yeti (Blue Yeti Nano)"), "{message}");
        let message = chosen("built-in").unwrap_err();
        assert!(message.contains("more than one"), "{message}");
        assert!(message.contains("alsa_input.pci.2"), "{message}");
        assert!(!message.contains("yeti"), "{message}");
    }

    #[test]
    fn no_microphone_at_all() {
        let Err(Unclear::Absent(fault)) = choose(&[], "x", "PulseAudio") else {
            panic!("there is none");
        };
        assert!(fault.message.contains("none at all"), "{fault}");
    }

    #[test]
    fn what_people_are_told() {
        for (error, kind) in [
            (ErrorKind::DeviceBusy, FaultKind::MicrophoneBusy),
            (ErrorKind::PermissionDenied, FaultKind::NoMicrophone),
            (ErrorKind::DeviceNotAvailable, FaultKind::NoMicrophone),
            (ErrorKind::BackendError, FaultKind::NoMicrophone),
            (ErrorKind::UnsupportedConfig, FaultKind::Failed),
        ] {
            let fault = explain(&cpal::Error::new(error), "Blue Yeti");
            assert_eq!(fault.kind, kind);
            assert!(fault.message.contains("Blue Yeti"), "{fault}");
            assert!(fault.message.contains("; "), "it says what to do: {fault}");
        }
    }

    #[test]
    fn unknown_sound_systems_are_refused_by_name() {
        let Err(fault) = running(Some("jack2")) else {
            panic!("there is no such thing");
        };
        assert_eq!(fault.kind, FaultKind::UnknownMicrophone);
        assert!(
            fault.message.contains("pulseaudio, pipewire, alsa"),
            "{fault}"
        );
    }
}
