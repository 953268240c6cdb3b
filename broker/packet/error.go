package packet

// Error is a protocol error: what the peer did wrong, by which clause, and the
// reason code that the specification gives it.
//
// A clause is a statement, "MQTT-3.3.2-2", or where there is none a section,
// "MQTT 3.8.3.1"; with MQTT3 for 3.1.1's, which also stand for 3.1.
type Error struct {
	Reason ReasonCode
	Clause string // "MQTT-3.3.2-2"; "" for a packet that is cut off, which no clause says in so many words
	Text   string // begins with the packet's name
}

// Error gives the text with its clause.
func (e *Error) Error() string {
	if e.Clause == "" {
		return e.Text
	}
	return e.Text + " [" + e.Clause + "]"
}

// clause picks the clause of the version.
func (v Version) clause(v5, v3 string) string {
	if v == V5 {
		return v5
	}
	return v3
}

func malformed(clause string, t Type, text string) *Error {
	return &Error{Reason: MalformedPacket, Clause: clause, Text: t.String() + ": " + text}
}

func protocolError(clause string, t Type, text string) *Error {
	return &Error{Reason: ProtocolError, Clause: clause, Text: t.String() + ": " + text}
}
