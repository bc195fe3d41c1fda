"""A TLS client as Python's own `ssl` makes one. Arguments: port, host name, file of anchors, [file of CRLs].

Prints the protocol version, or what it has against the server.
"""

import socket
import ssl
import sys

port, host, anchors, *crls = sys.argv[1:]
context = ssl.create_default_context(cafile=anchors)
context.verify_flags |= ssl.VERIFY_X509_STRICT
for crl in crls:
    context.load_verify_locations(crl)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
try:
    with socket.create_connection(("127.0.0.1", int(port)), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname=host) as secure:
            print("connected by", secure.version())
except ssl.SSLError as error:
    sys.exit(str(error))
