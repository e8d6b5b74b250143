// Package tools pins the module that containerd is built from.
package tools
