//go:build race

package harness

// raced: the race detector multiplies memory and time.
const raced = true
