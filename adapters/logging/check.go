package logging

// CheckFilters says what is wrong with the text of filters: InvalidArgument.
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
