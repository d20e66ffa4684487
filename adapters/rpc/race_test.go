//go:build race

package rpc

// raced: the race detector multiplies memory and time.
const raced = true
