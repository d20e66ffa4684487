package logging

// CheckFilters says what is wrong with the text of filters, "N:MATCH" between blanks:
// InvalidArgument. An empty text is fine. They are for whoever has a setting and no Log
// yet: files are checked before a daemon starts with them.
func CheckFilters(text string) error {
	_, err := parseFilters(text)
	return err
}

// CheckOutputs says what is wrong with the text of outputs: InvalidArgument. Nothing
// is opened.
func CheckOutputs(text string) error {
	_, err := parseTargets(text)
	return err
}
