// Command libvirt_lxc holds running containers for virtlxcd, which starts it;
// it is not for people. It is kept small: it runs once per container.
//
//	libvirt_lxc --socket PATH
//
// Descriptor 3 is a listening control socket bound to PATH, descriptor 4 a
// connection to the daemon that started it. Once it holds a container its
// command line reads "libvirt_lxc --name NAME --socket PATH". Executed as "libvirt_lxc stage ..."
// by itself, it is the first process of a container on its way to becoming init.
package main

import "virtlxcd/wiring/controller"

func main() { controller.Main() }
