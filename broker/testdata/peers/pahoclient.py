# paho-mqtt against the broker: usage: pahoclient.py HOST:PORT WEBSOCKET_HOST:PORT
# Ends with an assertion that does not hold, or in time.
import queue
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

TIMEOUT = 20


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


class Client:
    def __init__(self, name, where, protocol, transport="tcp", expiry=None, clean=True):
        self.got, self.connected, self.subscribed = queue.Queue(), queue.Queue(), queue.Queue()
        self.published, self.gone = queue.Queue(), queue.Queue()
        args = {} if protocol == mqtt.MQTTv5 else {"clean_session": clean}
        c = self.c = mqtt.Client(name, protocol=protocol, transport=transport, **args)
        if transport == "websockets":
            c.ws_set_options(path="/mqtt")
        c.on_message = lambda c, u, m: self.got.put(m)
        c.on_publish = lambda c, u, mid: self.published.put(mid)
        c.on_disconnect = lambda c, u, rc, props=None: self.gone.put(rc)
        if protocol == mqtt.MQTTv5:
            c.on_connect = lambda c, u, flags, rc, props: self.connected.put((flags, rc, props))
            c.on_subscribe = lambda c, u, mid, codes, props: self.subscribed.put([r.value for r in codes])
        else:
            c.on_connect = lambda c, u, flags, rc: self.connected.put((flags, rc, None))
            c.on_subscribe = lambda c, u, mid, granted: self.subscribed.put(list(granted))
        kw = {}
        if protocol == mqtt.MQTTv5:
            p = Properties(PacketTypes.CONNECT)
            if expiry:
                p.SessionExpiryInterval = expiry
            kw = {"clean_start": clean, "properties": p}
        c.connect(*address(where), **kw)
        c.loop_start()
        self.flags, rc, self.props = self.connected.get(timeout=TIMEOUT)
        assert rc == 0, rc

    def subscribe(self, topic, **kw):
        self.c.subscribe(topic, **kw)
        return self.subscribed.get(timeout=TIMEOUT)

    def publish(self, topic, payload, **kw):
        self.c.publish(topic, payload, **kw)
        self.published.get(timeout=TIMEOUT)

    def next(self):
        return self.got.get(timeout=TIMEOUT)

    def close(self):
        self.c.disconnect()
        self.gone.get(timeout=TIMEOUT)
        self.c.loop_stop()


def qos_and_retain(where, protocol, transport):
    a = Client("a", where, protocol, transport)
    assert a.subscribe("qos/+", qos=2) == [2]
    for qos in 0, 1, 2:
        for n in range(6):
            a.publish("qos/%d" % qos, "message %d" % n, qos=qos)
    got = [a.next() for _ in range(18)]
    want = [("qos/%d" % q, b"message %d" % n, q) for q in (0, 1, 2) for n in range(6)]
    assert [(m.topic, m.payload, m.qos) for m in got] == want
    a.publish("kept/x", "y" * 100_000, qos=1, retain=True)
    assert a.subscribe("kept/#", qos=1) == [1]
    m = a.next()
    assert m.retain and len(m.payload) == 100_000
    a.publish("kept/x", "", qos=1, retain=True)
    a.close()


def session(where, protocol):
    a = Client("stays", where, protocol, expiry=100, clean=False)
    a.subscribe("session/#", qos=2)
    a.close()
    b = Client("b", where, protocol)
    for n in range(16):
        b.publish("session/x", "%d" % n, qos=1 + n % 2)
    b.close()
    a = Client("stays", where, protocol, expiry=100, clean=False)
    if protocol != mqtt.MQTTv31:  # whose CONNACK does not say it
        assert a.flags["session present"] == 1, a.flags
    got = [int(a.next().payload) for _ in range(16)]
    # This client hands a QoS 2 message out with its PUBREL.
    for odd in 0, 1:
        assert [n for n in got if n % 2 == odd] == list(range(odd, 16, 2)), got
    a.close()


def five(where):
    a = Client("five", where, mqtt.MQTTv5)
    p = Properties(PacketTypes.SUBSCRIBE)
    p.SubscriptionIdentifier = 77
    options = SubscribeOptions(qos=2, noLocal=False, retainAsPublished=True)
    a.c.subscribe("five/#", options=options, properties=p)
    assert a.subscribed.get(timeout=TIMEOUT) == [2]
    p = Properties(PacketTypes.PUBLISH)
    p.UserProperty = [("a", "1"), ("a", "2"), ("ü", "ß")]
    p.ContentType, p.ResponseTopic, p.CorrelationData = "text/plain", "answers/here", b"\x00\x01"
    p.MessageExpiryInterval, p.PayloadFormatIndicator = 100, 1
    a.publish("five/x", "hello", qos=2, properties=p)
    m = a.next()
    assert m.properties.UserProperty == [("a", "1"), ("a", "2"), ("ü", "ß")], m.properties
    assert m.properties.SubscriptionIdentifier == [77]
    assert (m.properties.ContentType, m.properties.ResponseTopic, m.properties.CorrelationData) == ("text/plain", "answers/here", b"\x00\x01")
    assert 0 < m.properties.MessageExpiryInterval <= 100
    # Aliases towards the broker.
    p = Properties(PacketTypes.PUBLISH)
    p.TopicAlias = 1
    a.publish("five/alias", "1", qos=1, properties=p)
    a.publish("", "2", qos=1, properties=p)
    assert [a.next().payload for _ in range(2)] == [b"1", b"2"]
    # A will, when the connection breaks without a DISCONNECT.
    w = mqtt.Client("dies", protocol=mqtt.MQTTv5)
    w.will_set("five/will", "gone", qos=1)
    w.connect(*address(where))
    w.loop_start()
    while not w.is_connected():
        time.sleep(0.01)
    w.loop_stop()
    w._sock_close()
    m = a.next()
    assert (m.topic, m.payload) == ("five/will", b"gone")
    a.close()


tcp, ws = sys.argv[1:]
for protocol in mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5:
    qos_and_retain(tcp, protocol, "tcp")
    session(tcp, protocol)
qos_and_retain(ws, mqtt.MQTTv311, "websockets")
qos_and_retain(ws, mqtt.MQTTv5, "websockets")
five(tcp)
