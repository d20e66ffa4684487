"""One container's life through the bindings: URI, then a file with its XML."""
import sys

import libvirt

libvirt.registerErrorHandler(lambda _ctx, _err: None, None)


def refused(code, call, *args):
    try:
        call(*args)
    except libvirt.libvirtError as error:
        assert error.get_error_code() == code, (call, error)
    else:
        raise AssertionError("%s succeeded" % call)


connection = libvirt.open(sys.argv[1])
assert connection.getType() == "LXC"
assert connection.isAlive() and connection.isSecure()
with open(sys.argv[2]) as file:
    xml = file.read()

refused(libvirt.VIR_ERR_NO_DOMAIN, connection.lookupByName, "vlxpy")
refused(libvirt.VIR_ERR_XML_DETAIL, connection.defineXML, "<domain type='lxc'>")
refused(libvirt.VIR_ERR_NO_SUPPORT, connection.numOfNetworks)
guest = connection.defineXML(xml)
assert not guest.isActive() and guest.isPersistent()
assert guest.ID() == -1
refused(libvirt.VIR_ERR_OPERATION_INVALID, guest.destroy)
guest.create()
refused(libvirt.VIR_ERR_OPERATION_INVALID, guest.create)
assert guest.isActive()
assert guest.state()[0] == libvirt.VIR_DOMAIN_RUNNING
assert connection.lookupByID(guest.ID()).UUIDString() == guest.UUIDString()
assert connection.lookupByUUIDString(guest.UUIDString()).name() == "vlxpy"
assert guest.ID() in connection.listDomainsID()
assert guest.info()[0] == libvirt.VIR_DOMAIN_RUNNING
assert guest.OSType() == "exe"

stream = connection.newStream(0)
guest.openConsole(None, stream, 0)
stream.abort()

guest.suspend()
assert guest.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER]
guest.resume()
guest.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "title", None, None, 0)
assert guest.metadata(libvirt.VIR_DOMAIN_METADATA_TITLE, None) == "title"
guest.setAutostart(True)
assert guest.autostart() == 1
guest.destroy()
assert guest.state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED]

second = libvirt.open(sys.argv[1])
transient = second.createXML(xml.replace("vlxpy", "vlxpt"), libvirt.VIR_DOMAIN_START_AUTODESTROY)
assert connection.lookupByName("vlxpt").isActive()
second.close()
del transient, second
while connection.numOfDomains() > 0:
    pass
refused(libvirt.VIR_ERR_NO_DOMAIN, connection.lookupByName, "vlxpt")

look = libvirt.openReadOnly(sys.argv[1])
refused(libvirt.VIR_ERR_OPERATION_DENIED, look.lookupByName("vlxpy").create)
guest.undefine()
refused(libvirt.VIR_ERR_NO_DOMAIN, guest.undefine)
print("all well")
