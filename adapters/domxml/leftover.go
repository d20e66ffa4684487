package domxml

import (
	"fmt"
	"strconv"
	"strings"

	"virtlxcd/domain/device"
)

// What has no field is kept as leftovers of the definition or of the device it
// belongs to. Place says where, counted from that owner: a path of element
// names, with [n] for the n+1st of a name, then @name for an attribute. The
// text of an element is its printed form; an element that a field prints but
// whose mere presence counts has a place and no text.
//
//	Place               Text                     is
//	""                  <cpu mode='x'/>          a child of the owner
//	"os/initarg[2]@q"   1                        an attribute of the third <initarg>
//	"os/type@machine"   m                        an attribute of an element with a field
//	"metadata"                                   an empty element
//
// Comments and text beside elements are not kept: nothing could say where among
// the elements they belong, once those are printed in their own order.

// leftovers collects from n, the owner, whatever was not taken. The order is that
// of the tree, so arrange comes before.
// Owners are the root and the devices with fields: each keeps its own, so that a
// device that is detached takes them along.
func leftovers(n *node) []device.Leftover {
	n.owner = true
	c := collector{}
	c.walk(n, "")
	return c.found
}

// collector walks one owner. What is found in a device that is an owner itself is
// not its business.
// What is found is in the order of the tree, attributes before children.
type collector struct{ found []device.Leftover }

// walk goes into elements that were taken: their own leftovers have a place in
// them. One that was not taken is a leftover as a whole.
// Children are numbered by name, counting those that were taken: only these are
// printed again by fields, and in the same order.
func (c *collector) walk(n *node, path string) {
	c.attributes(n, path)
	seen := map[string]int{}
	for _, kid := range n.kids {
		switch {
		case kid.kind != element, kid.owner:
		case kid.taken:
			c.walk(kid, join(path, kid.name, seen[kid.name]))
			seen[kid.name]++
		default:
			c.found = append(c.found, device.Leftover{Place: path, Text: kept(kid)})
		}
	}
}

// kept prints an element to stand alone. The prefix lxc needs no declaration:
// the root has it.
func kept(n *node) string {
	if n.sharing() {
		return fragment(n.tidy())
	}
	return fragment(n.tidy().contain())
}

// attributes keeps those of n that were not taken. Namespaces are declared where
// they are used, once for each prefix: the declaration may have stood further out,
// on an element that is printed without it.
// Declarations as such are not kept, since most of them would be of no use to anybody.
func (c *collector) attributes(n *node, path string) {
	declared := map[string]bool{}
	for i := range n.attrs {
		a := &n.attrs[i]
		if a.taken || a.name == "xmlns" || prefixOf(a.name) == "xmlns" {
			continue
		}
		if prefix := prefixOf(a.name); a.space != "" && prefix != "xml" && !declared[prefix] {
			declared[prefix] = true
			c.found = append(c.found, device.Leftover{Place: path + "@xmlns:" + prefix, Text: a.space})
		}
		c.found = append(c.found, device.Leftover{Place: path + "@" + a.name, Text: a.value})
	}
}

// join adds one step to a path; the first of a name needs no number.
// "initarg" and 2 below "os" give "os/initarg[2]", and with 0 "os/initarg".
func join(path, name string, index int) string {
	if index > 0 {
		name += "[" + strconv.Itoa(index) + "]"
	}
	if path == "" {
		return name
	}
	return path + "/" + name
}

// restorer puts leftovers back below their owner.
// One serves one owner.
type restorer struct {
	// fixed are the children a parent had of fields, by name.
	fixed map[*node]map[string][]*node
}

// restore puts back what leftovers took from owner. A place that is no more,
// because the list it counts in became shorter, takes its leftover with it. What
// a field prints wins over a leftover of the same attribute.
// It must run after all fields were written, since places count what is there, and
// before arrange. Leftovers come back in the order in which they were found.
func restore(owner *node, left []device.Leftover) {
	r := restorer{fixed: map[*node]map[string][]*node{}}
	for _, l := range left {
		path, name, isAttr := strings.Cut(l.Place, "@")
		parent := r.resolve(owner, path)
		switch {
		case parent == nil:
		case isAttr:
			if _, exists := parent.attr(name); !exists {
				parent.set(name, l.Text)
			}
		case l.Text != "":
			r.adopt(parent, l.Text)
		}
	}
}

// adopt hangs a printed element into parent. Children that are put back are not
// among those that places count.
// A text that cannot be read is passed over: Format cannot fail.
func (r *restorer) adopt(parent *node, text string) {
	kid, err := parseFragment(text)
	if err != nil {
		return // not written by this package
	}
	r.index(parent) // before it counts as one of them
	parent.add(kid.tidy())
}

// resolve follows a path down from n; nil if it leads nowhere.
// An empty path is the owner itself.
func (r *restorer) resolve(n *node, path string) *node {
	for path != "" && n != nil {
		var step string
		step, path, _ = strings.Cut(path, "/")
		n = r.step(n, step)
	}
	return n
}

// step goes to one child. The first of a name is made if no field printed it:
// that is how an element comes back of which only attributes were left over.
// A number that is negative or beyond the list leads nowhere.
func (r *restorer) step(parent *node, step string) *node {
	name, index := step, 0
	if head, tail, ok := strings.Cut(step, "["); ok {
		name = head
		if _, err := fmt.Sscanf(tail, "%d]", &index); err != nil {
			return nil
		}
	}
	known := r.index(parent)
	switch {
	case index >= 0 && index < len(known[name]):
		return known[name][index]
	case index != 0:
		return nil
	}
	kid := el(name)
	parent.add(kid)
	known[name] = append(known[name], kid)
	return kid
}

// index remembers the children that parent had when its first leftover came.
// The lists are made once for each parent, however many leftovers it has.
func (r *restorer) index(parent *node) map[string][]*node {
	known, ok := r.fixed[parent]
	if !ok {
		known = map[string][]*node{}
		for _, kid := range parent.kids {
			if kid.kind == element {
				known[kid.name] = append(known[kid.name], kid)
			}
		}
		r.fixed[parent] = known
	}
	return known
}
