#!/bin/sh
# Builds a Go program and runs it: goroutines, channels, timers, files, a child process.
set -eu
cd "$(mktemp -d)"
export GOCACHE=$PWD/cache GOFLAGS=-mod=mod GO111MODULE=off GOTOOLCHAIN=local
cat >main.go <<'G'
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

func main() {
	numbers := make(chan int)
	var all sync.WaitGroup
	var lock sync.Mutex
	total := 0
	for i := 0; i < 16; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for n := range numbers {
				lock.Lock()
				total += n
				lock.Unlock()
			}
		}()
	}
	for i := 0; i < 20000; i++ {
		numbers <- i
	}
	close(numbers)
	all.Wait()
	fmt.Println("total", total)

	select {
	case <-time.After(20 * time.Millisecond):
		fmt.Println("timer")
	}
	var kept [][]byte
	for i := 0; i < 200; i++ {
		kept = append(kept[:i%50], make([]byte, 100000))
	}
	runtime.GC()
	if err := os.WriteFile("data", make([]byte, 1<<20), 0o600); err != nil {
		panic(err)
	}
	data, err := os.ReadFile("data")
	if err != nil {
		panic(err)
	}
	fmt.Printf("%x\n", sha256.Sum256(data))
	out, err := exec.Command("echo", "from a child").Output()
	if err != nil {
		panic(err)
	}
	fmt.Print(string(out))
}
G
go build -o program main.go
./program
