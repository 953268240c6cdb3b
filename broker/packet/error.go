package packet

// Error is a protocol error: what the peer did wrong, by which clause, and the
// reason code that the specification gives it.
type Error struct {
	Reason ReasonCode
	Clause string // "MQTT-3.3.2-2"; MQTT3-... is 3.1.1's number; "" when none says it in so many words
	Text   string // begins with the packet's name
}

// Error gives the text with its clause.
func (e *Error) Error() string {
	if e.Clause == "" {
		return e.Text
	}
	return e.Text + " [" + e.Clause + "]"
}

func malformed(clause string, t Type, text string) *Error {
	return &Error{Reason: MalformedPacket, Clause: clause, Text: t.String() + ": " + text}
}

func protocolError(clause string, t Type, text string) *Error {
	return &Error{Reason: ProtocolError, Clause: clause, Text: t.String() + ": " + text}
}
