"""What programs do through libvirt-python. argv: URI, read-only URI, document."""

import sys
import threading

import libvirt

PATIENCE = 30
uri, uri_ro, path = sys.argv[1:]
document = open(path).read()


def refused(code, call, *args):
    """The call must fail with a code, as programs branch on it."""
    try:
        call(*args)
    except libvirt.libvirtError as err:
        if err.get_error_code() != code:
            raise
        print("refused:", err.get_error_message())
        return
    raise SystemExit("not refused: %s" % call)


libvirt.registerErrorHandler(lambda context, err: None, None)
libvirt.virEventRegisterDefaultImpl()
over = threading.Event()


def loop():
    while not over.is_set():
        libvirt.virEventRunDefaultImpl()


heard = []
news = threading.Condition()


def lifecycle(conn, dom, event, detail, opaque):
    with news:
        heard.append((dom.name(), event, detail))
        news.notify()


def expect(name, event, detail):
    with news:
        if not news.wait_for(lambda: heard, PATIENCE):
            raise SystemExit("nothing happened")
        got = heard.pop(0)
    if got != (name, event, detail):
        raise SystemExit("%r happened" % (got,))
    print("event:", *got)


# A timer keeps the loop turning, so that it can be told to end.
libvirt.virEventAddTimeout(100, lambda timer, opaque: None, None)
runner = threading.Thread(target=loop)
runner.start()
try:
    conn = libvirt.open(uri)
    conn.setKeepAlive(5, 3)
    print(conn.getType(), conn.getURI() == uri, conn.isAlive(), conn.isSecure(), conn.getHostname())
    number = conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle, None)

    refused(libvirt.VIR_ERR_NO_DOMAIN, conn.lookupByName, "web")
    refused(libvirt.VIR_ERR_XML_DETAIL, conn.defineXML, "<domain")
    dom = conn.defineXML(document)
    expect("web", libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_ADDED)
    print(dom.name(), dom.UUIDString(), dom.ID(), dom.isActive(), dom.isPersistent())
    refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.destroy)

    dom.create()
    expect("web", libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED)
    print(dom.state(), dom.info()[:4], dom.maxMemory(), dom.OSType(), dom.autostart())
    print([d.name() for d in conn.listAllDomains()], conn.numOfDomains(), conn.listDefinedDomains())
    refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.create)

    # Blocking receives lose a race against the loop inside libvirt itself.
    answer = b""

    def readable(stream, events, opaque):
        global answer
        data = stream.recv(1024)
        if data != -2:
            with news:
                answer += data
                news.notify()

    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    dom.openConsole(None, stream)
    stream.eventAddCallback(libvirt.VIR_STREAM_EVENT_READABLE, readable, None)
    stream.send(b"hello\r")
    with news:
        if not news.wait_for(lambda: answer.endswith(b"\n"), PATIENCE):
            raise SystemExit("no answer but %r" % answer)
    stream.eventRemoveCallback()
    stream.abort()
    print("console:", answer)

    dom.suspend()
    expect("web", libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED)
    dom.resume()
    expect("web", libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED)
    dom.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "A title", None, None)
    print(dom.metadata(libvirt.VIR_DOMAIN_METADATA_TITLE, None))

    looking = libvirt.openReadOnly(uri_ro)
    refused(libvirt.VIR_ERR_OPERATION_DENIED, looking.lookupByName("web").destroy)
    looking.close()

    # What a connection started with autodestroy goes with it.
    other = libvirt.open(uri)
    other.createXML(document.replace("web", "once").replace("00000c", "00000d"), libvirt.VIR_DOMAIN_START_AUTODESTROY)
    expect("once", libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED)
    other.close()
    expect("once", libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED)

    dom.shutdown()
    expect("web", libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)
    dom.undefine()
    expect("web", libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED_REMOVED)
    refused(libvirt.VIR_ERR_NO_DOMAIN, dom.info)
    conn.domainEventDeregisterAny(number)
    print("closed:", conn.close())
finally:
    over.set()
    runner.join()
