package rpc

import (
	"sync"
	"time"
)

// settings are what a session gets when it begins and keeps.
type settings struct {
	requests int
	interval time.Duration
	count    int
}

// fresh are the settings of the next session.
type fresh struct {
	mu       sync.Mutex
	settings settings
}

func (f *fresh) get() settings {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settings
}

func (f *fresh) setRequests(requests int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settings.requests = requests
}

func (f *fresh) setKeepalive(interval time.Duration, count int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settings.interval, f.settings.count = interval, count
}
