"""Every process of Segue: I/O, clocks, threads, retries. Decides nothing about membership."""
