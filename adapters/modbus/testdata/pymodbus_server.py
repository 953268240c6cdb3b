"""A Modbus server of pymodbus 3.0: pymodbus_server.py tcp|rtutcp HOST PORT | rtu|ascii DEVICE.

Unit 1: holding 0-9 are 0, 10, 20 ... 90, and 100-107 a u64 and an f64; input 0
is 65535; coils 0-7 are off; discrete input 0 is on. Any other unit is silent.
"""
import asyncio
import struct
import sys

from pymodbus.datastore import ModbusServerContext, ModbusSlaveContext, ModbusSparseDataBlock
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer
from pymodbus.transaction import ModbusAsciiFramer, ModbusRtuFramer, ModbusSocketFramer

holding = {i: 10 * i for i in range(10)}
words = struct.unpack(">8H", struct.pack(">Qd", 0xFEDCBA9876543210, -1234.5))
holding.update({100 + i: w for i, w in enumerate(words)})
unit = ModbusSlaveContext(
    hr=ModbusSparseDataBlock(holding),
    ir=ModbusSparseDataBlock({0: 65535}),
    co=ModbusSparseDataBlock({i: False for i in range(8)}),
    di=ModbusSparseDataBlock({0: True}),
    zero_mode=True,
)
context = ModbusServerContext(slaves={1: unit}, single=False)


framers = {"tcp": ModbusSocketFramer, "rtutcp": ModbusRtuFramer, "rtu": ModbusRtuFramer, "ascii": ModbusAsciiFramer}


async def main():
    framer = framers[sys.argv[1]]
    if sys.argv[1].endswith("tcp"):
        await StartAsyncTcpServer(
            context=context, framer=framer, address=(sys.argv[2], int(sys.argv[3])), ignore_missing_slaves=True
        )
    else:
        await StartAsyncSerialServer(
            context=context, framer=framer, port=sys.argv[2], baudrate=19200, timeout=0.02, ignore_missing_slaves=True
        )


asyncio.run(main())
