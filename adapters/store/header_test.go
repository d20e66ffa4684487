package store

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHeaderNamesWhatTheShellTakes(t *testing.T) {
	const uuid = "c0ffee00-0000-4000-8000-000000000000"
	for name, want := range map[string]string{
		"web": "web", "web-1.example_x": "web-1.example_x", "-v": uuid, "a--b": uuid, "a b": uuid,
		"$(reboot)": uuid, "größe": uuid, "a;b": uuid, "": uuid,
	} {
		assert.Contains(t, header(name, uuid), "virsh edit "+want+"\n", "%q", name)
	}
}

func FuzzHeaderIsAComment(f *testing.F) {
	f.Add("a-->b")
	f.Add("a-")
	f.Fuzz(func(t *testing.T, name string) {
		text := header(name, "uuid")
		d := xml.NewDecoder(strings.NewReader(text + "<a/>"))
		for {
			token, err := d.Token()
			if !assert.NoError(t, err) {
				return
			}
			if start, ok := token.(xml.StartElement); ok {
				assert.Equal(t, "a", start.Name.Local)
				return
			}
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add("a.xml")
	f.Add("../b.xml")
	s := bareStore("/x")
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) != nil {
			return
		}
		for _, path := range []string{s.configPath(name), s.statusPath(name), s.linkPath(name)} {
			dir, file := path[:strings.LastIndexByte(path, '/')], path[strings.LastIndexByte(path, '/')+1:]
			assert.Contains(t, []string{s.paths.Config, s.paths.State, s.paths.Autostart}, dir)
			back, ok := nameOf(file)
			assert.True(t, ok)
			assert.Equal(t, name, back)
			assert.LessOrEqual(t, len(file), 255)
			assert.False(t, s.foreignTemp(file))
		}
		assert.NotEqual(t, s.paths.State+"/"+driverPID, s.pidPath(name))
	})
}
