# A commented configuration in, its man page out, section 5. Every key and every sentence in the
# file comes out; what is a default there is one here.
#
#   awk -v name=config -v version=0.1.0 -f packaging/page.awk packaging/config.toml
#
# In the file, paragraphs of comments stand above what they explain; "#key = value" is a default,
# "[table]" or "#[table]" begins a table.

# What roff would read as something else. Lines begin with none of its commands.
function roff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/~/, "\\(ti", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/`/, "\\(ga", text)
    return (text ~ /^[.']/) ? "\\&" text : text
}

# A sentence a line, as man pages have it.
function prose(text,    parts, count, i) {
    gsub(/[.] +/, ".\n", text)
    count = split(text, parts, "\n")
    for (i = 1; i <= count; i++) if (parts[i] != "") print roff(parts[i])
}

function flush_paragraph() {
    if (paragraph == "") return
    prose(paragraph)
    paragraph = ""
}

function heading(text) {
    print ".SH " (text ~ / / ? "\"" roff(text) "\"" : roff(text))
}

BEGIN {
    page = "wstream-" name
    file = name ".toml"
    printf ".TH %s 5 \"\" \"wstream %s\" \"wstream\"\n", page, version
    heading("NAME")
    what = (name == "config") ? "configuration of the dictation daemon wstreamd" : "configuration of the plugin wstream-" name
    print roff(page) " \\- " roff(what)
    heading("SYNOPSIS")
    print ".I $XDG_CONFIG_HOME/wstream/" roff(file)
    print ".br"
    print ".I \\(ti/.config/wstream/" roff(file)
    heading("DESCRIPTION")
    print "TOML; where a key is left out, the default that is shown here counts."
    after_key = 0
}

# A default: what was collected before explains it.
/^#?[a-z_-]+ = / {
    line = $0
    sub(/^#/, "", line)
    # Keys that follow each other without a paragraph between share the one above.
    if (paragraph == "" && after_key) print ".TQ"; else print ".TP"
    print "\\fB" roff(line) "\\fR"
    flush_paragraph()
    after_key = 1
    next
}

/^#?\[/ {
    table = $0
    sub(/^#/, "", table)
    pending = paragraph
    paragraph = ""
    heading(table)
    if (pending != "") prose(pending)
    after_key = 0
    next
}

# An empty line, or a bare comment sign, ends a paragraph. One that explains no key stands by itself.
/^#?[ \t]*$/ {
    if (paragraph != "") {
        print ".PP"
        flush_paragraph()
    }
    after_key = 0
    next
}

/^# / {
    text = substr($0, 3)
    paragraph = (paragraph == "") ? text : paragraph " " text
    next
}

{
    print "packaging/page.awk: " FILENAME ":" FNR ": neither comment, default nor table: " $0 >"/dev/stderr"
    failed = 1
    exit 1
}

END {
    if (failed) exit 1
    flush_paragraph()
    heading("SEE ALSO")
    print ".BR " (name == "config" ? "wstreamd" : "wstream\\-" name) " (1),"
    print ".BR wstreamctl (1)"
}
