package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// instant is a flag for a time in a request.
type instant struct{ to **timestamppb.Timestamp }

func instantVar(f *pflag.FlagSet, to **timestamppb.Timestamp, name, usage string) {
	f.Var(instant{to}, name, usage)
}

// Set implements pflag.Value. A date is its first instant in UTC.
func (v instant) Set(text string) error {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		if t, err = time.Parse(time.RFC3339, text); err != nil {
			return err
		}
	}
	*v.to = timestamppb.New(t)
	return nil
}

func (v instant) String() string {
	if v.to == nil || *v.to == nil {
		return ""
	}
	return (*v.to).AsTime().Format(time.RFC3339)
}

// Type implements pflag.Value.
func (instant) Type() string { return "time" }

func (instant) allowed() string { return "a day like 2026-01-31 or a time like 2026-01-31T12:00:00Z" }

// choice is a flag for values of an enum, as people write them: "past_due" for SUBSCRIPTION_STATE_PAST_DUE.
type choice[E protoEnum] struct {
	to   *[]E
	many bool // more than one can be given, also by more than one flag
}

// protoEnum is a generated enum.
type protoEnum interface {
	~int32
	protoreflect.Enum
}

func choiceVar[E protoEnum](f *pflag.FlagSet, to *[]E, many bool, name, usage string) {
	c := choice[E]{to, many}
	f.Var(c, name, usage+": "+strings.Join(c.values(), ", "))
	note(f.Lookup(name), oneOf, c.values()...)
}

// values are all that can be chosen.
func (choice[E]) values() (names []string) {
	var e E
	all := e.Descriptor().Values()
	for i := range all.Len() {
		if n := all.Get(i).Number(); n != 0 {
			names = append(names, enumName(e.Descriptor(), n))
		}
	}
	return names
}

// Set implements pflag.Value.
func (c choice[E]) Set(text string) error {
	var e E
	if !c.many {
		*c.to = nil
	}
	for name := range strings.SplitSeq(text, ",") {
		v := e.Descriptor().Values().ByName(protoreflect.Name(enumPrefix(e.Descriptor()) + strings.ToUpper(name)))
		if v == nil || v.Number() == 0 {
			return fmt.Errorf("there is no %q", name)
		}
		*c.to = append(*c.to, E(v.Number()))
	}
	return nil
}

func (c choice[E]) String() string {
	if c.to == nil {
		return ""
	}
	var names []string
	for _, e := range *c.to {
		names = append(names, nameOf(e))
	}
	return strings.Join(names, ",")
}

// Type implements pflag.Value.
func (c choice[E]) Type() string {
	if c.many {
		return "list"
	}
	return "name"
}

func (c choice[E]) allowed() string { return "one of " + strings.Join(c.values(), ", ") }

// maybe is a flag that is true, false or not given.
type maybe struct{ to **bool }

func maybeVar(f *pflag.FlagSet, to **bool, name, usage string) {
	f.Var(maybe{to}, name, usage)
	f.Lookup(name).NoOptDefVal = "true"
}

// Set implements pflag.Value.
func (v maybe) Set(text string) error {
	b, err := strconv.ParseBool(text)
	if err == nil {
		*v.to = &b
	}
	return err
}

func (v maybe) String() string {
	if v.to == nil || *v.to == nil {
		return ""
	}
	return strconv.FormatBool(**v.to)
}

// Type implements pflag.Value.
func (maybe) Type() string { return "bool" }
