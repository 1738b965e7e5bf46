//! A microphone, through one of the sound servers that cpal knows.
use super::{Interrupt, Read, Source};
use crate::fault::{Fault, FaultKind};
use std::sync::Arc;
/// Hosts
pub const HOSTS: [&str; 3] = ["pulseaudio", "pipewire", "alsa"];
/// A microphone that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Microphone {
    /// id
    pub id: String,
}
/// list
pub fn microphones(_host: Option<&str>) -> Result<Vec<Microphone>, Fault> {
    Err(Fault::new(FaultKind::NoMicrophone, "x"))
}
#[derive(Debug)]
pub(crate) struct OpenMicrophone;
impl OpenMicrophone {
    pub(crate) fn open(
        _: Option<&str>,
        _: Option<&str>,
        _: Arc<Interrupt>,
    ) -> Result<Option<(Self, String)>, Fault> {
        Err(Fault::new(FaultKind::NoMicrophone, "x"))
    }
}
impl Source for OpenMicrophone {
    fn read(&mut self, _: &mut Vec<i16>) -> Read {
        Read::End
    }
}
