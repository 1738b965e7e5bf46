#!/usr/bin/env python3
"""faster-whisper on whole files, after their end: what the same weights reach without streaming.

Run it with the interpreter of the environment that setup.sh made for it. No voice activity
detection, the language forced, no condition on previous text. `t` is the length of the file plus
the time that decoding it took, as if somebody had waited for the last word and started then.
"""
import os
import sys
import time

import peer
import process


def samples(pcm):
    import numpy

    return numpy.frombuffer(pcm, dtype="<i2").astype(numpy.float32) / 32768


def main():
    parser = peer.arguments(__doc__)
    parser.add_argument("--beam", type=int, default=5, help="1 is greedy")
    # What CTranslate2 takes by itself on processors without fast float16, and WhisperLive asks for.
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves it to CTranslate2")
    args = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    from faster_whisper import WhisperModel

    model = WhisperModel(str(args.model.resolve()), device="cpu", compute_type=args.compute_type,
                         cpu_threads=args.threads, local_files_only=True)

    def decode(pcm):
        segments, _info = model.transcribe(samples(pcm), beam_size=args.beam,
                                           language=args.language, vad_filter=False,
                                           condition_on_previous_text=False)
        # Decoding happens while the segments are asked for.
        return "".join(segment.text for segment in segments).strip()

    output = peer.Output(args.out)
    chosen = peer.files(args)
    decode(peer.sound(chosen[0][1])[:5 * peer.RATE * 2])
    bill, cpu, total = process.Bill(os.getpid()), 0.0, 0.0
    for name, path in chosen:
        try:
            pcm = peer.sound(path)
            began, cpu_began = time.monotonic(), time.process_time()
            text = decode(pcm)
            took = time.monotonic() - began
            cpu += time.process_time() - cpu_began
        except Exception as error:  # one file that fails must not hide the others
            output.fail(name, error)
            continue
        output.whole(name, peer.seconds(pcm), took, text)
        total += peer.seconds(pcm)
    output.line(peer=f"faster-whisper, beam {args.beam}", version=peer.version("faster-whisper"),
                # Reading the files is no part of decoding, so the bill's own figure does not stand.
                **{**bill.fields(), "cpu_s": round(cpu, 2)}, sound_s=round(total, 3), worst_late_ms=0.0, model=args.model.name,
                language=args.language, beam=args.beam, compute_type=args.compute_type,
                ctranslate2=peer.version("ctranslate2"), failed=output.failed)
    sys.exit(1 if output.failed else 0)


if __name__ == "__main__":
    main()
