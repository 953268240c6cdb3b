package sparkplug

import "fmt"

// DataType is the type of a metric or property. [Sparkplug 3.0 6.4.16]
type DataType uint32

// The types by their names in the specification.
const (
	Unknown       DataType = 0
	Int8          DataType = 1
	Int16         DataType = 2
	Int32         DataType = 3
	Int64         DataType = 4
	UInt8         DataType = 5
	UInt16        DataType = 6
	UInt32        DataType = 7
	UInt64        DataType = 8
	Float         DataType = 9
	Double        DataType = 10
	Boolean       DataType = 11
	String        DataType = 12
	DateTime      DataType = 13
	Text          DataType = 14
	UUID          DataType = 15
	DataSet       DataType = 16
	Bytes         DataType = 17
	File          DataType = 18
	Template      DataType = 19
	PropertySet   DataType = 20
	PropertySets  DataType = 21
	Int8Array     DataType = 22
	DateTimeArray DataType = 34
)

// names are those of the specification, from Unknown on.
var names = []string{
	"Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean", "String",
	"DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList", "Int8Array", "Int16Array",
	"Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array", "FloatArray", "DoubleArray",
	"BooleanArray", "StringArray", "DateTimeArray",
}

// String gives the name in the specification.
func (t DataType) String() string {
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("DataType(%d)", uint32(t))
}

// form is the field of Metric or PropertyValue in which a value stands.
type form uint8

const (
	none form = iota
	intForm
	longForm
	floatForm
	doubleForm
	boolForm
	stringForm
	bytesForm   // of a metric alone, as the next two
	dataSetForm // undecoded
	templateForm
)

// form gives where a value of type t stands; none for a type that there is not.
func (t DataType) form() form {
	switch t {
	case Int8, Int16, Int32, UInt8, UInt16:
		return intForm
	case UInt32, Int64, UInt64, DateTime:
		return longForm
	case Float:
		return floatForm
	case Double:
		return doubleForm
	case Boolean:
		return boolForm
	case String, Text, UUID:
		return stringForm
	case DataSet:
		return dataSetForm
	case Template:
		return templateForm
	}
	if t == Bytes || t == File || t >= Int8Array && t <= DateTimeArray {
		return bytesForm
	}
	return none
}
