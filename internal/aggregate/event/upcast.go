package event

// upcast turns what an older program stored into the current type and data. Stored events are never edited; when a
// kind is replaced by another, its case here says how the old one reads today, and its stored sample stays.
//
// A case must not look at the clock, at other events or at anything but its arguments. No kind has been replaced yet.
func upcast(typ string, data []byte) (string, []byte, error) {
	switch typ {
	default:
		return typ, data, nil
	}
}
