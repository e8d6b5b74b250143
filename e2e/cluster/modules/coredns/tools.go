// Package tools pins the module that coredns is built from.
package tools
