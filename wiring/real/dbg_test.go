package real
import ("testing";"fmt")
func TestDbg(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxcon", init: `while read line; do echo "got $line"; done`})
	term := m.console("vlxcon")
	const line = "0123456789012345678901234567890123456789012345678901234567890123456789"
	for i := range 200 {
		fmt.Println(i)
		term.typed(line + "\n")
		term.expect("got " + line)
	}
}
