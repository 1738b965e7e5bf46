//! Programs that are terminals, by their names for themselves.

/// Class names and application ids, in lower case.
const TERMINALS: &[&str] = &[
    "alacritty",
    "aterm",
    "blackbox",
    "com.mitchellh.ghostty",
    "com.raggesilver.blackbox",
    "com.system76.cosmicterm",
    "contour",
    "cool-retro-term",
    "deepin-terminal",
    "eterm",
    "foot",
    "footclient",
    "ghostty",
    "gnome-terminal",
    "gnome-terminal-server",
    "guake",
    "hyper",
    "io.elementary.terminal",
    "kgx",
    "kitty",
    "konsole",
    "koi8rxterm",
    "lxterminal",
    "mate-terminal",
    "mlterm",
    "org.codeberg.dnkl.foot",
    "org.contourterminal.contour",
    "org.gnome.console",
    "org.gnome.ptyxis",
    "org.gnome.terminal",
    "org.kde.konsole",
    "org.kde.yakuake",
    "org.wezfurlong.wezterm",
    "pterm",
    "ptyxis",
    "qterminal",
    "rio",
    "roxterm",
    "rxvt",
    "sakura",
    "st",
    "st-256color",
    "stterm",
    "tabby",
    "terminator",
    "terminology",
    "termit",
    "termite",
    "tilda",
    "tilix",
    "urxvt",
    "uxterm",
    "warp",
    "wezterm",
    "xfce4-terminal",
    "xterm",
    "yakuake",
];

/// Whether a program is a terminal, by its class (`WM_CLASS`) or application id.
pub fn is_terminal(app: &str) -> bool {
    TERMINALS.contains(&app.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_terminals_by_class_and_by_id() {
        for app in [
            "XTerm",
            "UXTerm",
            "foot",
            "org.kde.konsole",
            "Gnome-terminal",
            "URxvt",
        ] {
            assert!(is_terminal(app), "{app}");
        }
        for app in ["", "Firefox", "term", "org.gnome.TextEditor"] {
            assert!(!is_terminal(app), "{app}");
        }
    }
}
