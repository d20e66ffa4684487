package fakes

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"virtlxcd/domain/fault"
)

// join makes a line; words that are empty or hard to read back are quoted. With key
// "env" and words GREETING and "hello world" it is env GREETING "hello world".
func join(key string, words []string) string {
	line := key
	for _, word := range words {
		if word == "" || strings.ContainsFunc(word, needsQuotes) {
			word = strconv.Quote(word)
		}
		line += " " + word
	}
	return line
}

// needsQuotes: blanks of any kind, quotes and what cannot be seen, so also bytes that
// are no text. Quoting is that of Go (strconv.Quote), so any bytes come back.
func needsQuotes(r rune) bool {
	return r == '"' || r == '\\' || r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r)
}

// split takes a line apart. It is the inverse of join, but takes any number of blanks.
// A quote counts at the start of a word only. Kind Malformed if it does not end.
func split(line string) (words []string, err error) {
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimSpace(rest) {
		if rest[0] != '"' {
			word, after, _ := strings.Cut(rest, " ")
			words, rest = append(words, word), after
			continue
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, fault.New(fault.Malformed, fault.Document, "unbalanced quotes in '%s'", strings.TrimSpace(line))
		}
		word, _ := strconv.Unquote(quoted)
		words, rest = append(words, word), rest[len(quoted):]
	}
	return words, nil
}
